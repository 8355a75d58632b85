/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-handshake-private.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "../base/mp-error-private.h"
#include "mp-frame-private.h"
#include "mp-sha3-private.h"

/* One end challenges, the other answers, and hears whether that was right; then the
 * other way round. A challenge is some random bytes, behind the name of a digest since
 * Python 3.12. The answer is the HMAC of all behind CHALLENGE, behind the name of its
 * digest; before 3.12, that of MD5, without a name. */

#define CHALLENGE "#CHALLENGE#"
#define WELCOME "#WELCOME#"
#define FAILURE "#FAILURE#"
#define N_RANDOM 40
/* A challenge of just this length is one of the older kind. */
#define OLD_RANDOM 20
#define OLD_MAC 16
#define OWN_DIGEST "{sha256}"
#define MAX_MAC MP_SHA3_MAX_LENGTH

typedef enum
{
  STEP_CHALLENGE, /* waits for a challenge */
  STEP_REPLY,     /* has challenged */
  STEP_VERDICT,   /* has answered */
  STEP_OVER
} Step;

struct _MpHandshake
{
  GBytes *authkey;
  gboolean listens;
  guint n_halves; /* that are done */
  Step step;
  guint8 challenge[sizeof OWN_DIGEST - 1 + N_RANDOM];

  /* What is to be sent: two messages at most. */
  guint8 out[2 * (4 + MP_HANDSHAKE_MAX_LENGTH)];
  gsize n_out, n_sent;
  /* What comes: the length, then the message. */
  guint8 in[4 + MP_HANDSHAKE_MAX_LENGTH];
  gsize n_in;
  /* How it will fail, when what is to be sent has been. */
  GError *error;
};

static void
put_message (MpHandshake *self, const void *data, gsize length)
{
  self->n_out += mp_frame_write_header (self->out + self->n_out, length);
  memcpy (self->out + self->n_out, data, length);
  self->n_out += length;
}

static gboolean
fail (MpHandshake *self, const char *message)
{
  if (self->error == NULL)
    self->error = g_error_new_literal (MP_ERROR, MP_ERROR_AUTHENTICATION, message);
  return FALSE;
}

/* It must never be one that was there before, nor one that can be guessed. */
static void
fill_randomly (guint8 *data, gsize length)
{
  while (length > 0)
    {
      gssize n = getrandom (data, length, 0);

      if (n < 0 && errno != EINTR)
        g_error ("No random bytes: %s", g_strerror (errno));
      if (n > 0)
        {
          data += n;
          length -= (gsize) n;
        }
    }
}

static void
begin_half (MpHandshake *self)
{
  guint8 message[sizeof CHALLENGE - 1 + sizeof self->challenge];

  if (self->n_halves == 2)
    self->step = STEP_OVER;
  else if ((self->n_halves == 0) != self->listens)
    self->step = STEP_CHALLENGE;
  else
    {
      memcpy (self->challenge, OWN_DIGEST, strlen (OWN_DIGEST));
      fill_randomly (self->challenge + strlen (OWN_DIGEST), N_RANDOM);
      memcpy (message, CHALLENGE, strlen (CHALLENGE));
      memcpy (message + strlen (CHALLENGE), self->challenge, sizeof self->challenge);
      put_message (self, message, sizeof message);
      self->step = STEP_REPLY;
    }
}

MpHandshake *
mp_handshake_new (GBytes *authkey, gboolean listens)
{
  MpHandshake *self = g_new0 (MpHandshake, 1);

  self->authkey = g_bytes_ref (authkey);
  self->listens = listens;
  begin_half (self);
  return self;
}

void
mp_handshake_free (MpHandshake *self)
{
  g_bytes_unref (self->authkey);
  g_clear_error (&self->error);
  g_free (self);
}

/* Digests */

typedef struct
{
  const char *name; /* with braces, as a message begins */
  GChecksumType type;
  gsize sha3_length; /* or this */
} Digest;

/* The first is that of messages without a name. */
static const Digest digests[] = {
  { "{md5}", G_CHECKSUM_MD5, 0 },       { "{sha256}", G_CHECKSUM_SHA256, 0 },
  { "{sha384}", G_CHECKSUM_SHA384, 0 }, { "{sha3_256}", G_CHECKSUM_MD5, 32 },
  { "{sha3_384}", G_CHECKSUM_MD5, 48 },
};

/* The one that a message names, or NULL. */
static const Digest *
find_digest (const guint8 *message, gsize length)
{
  for (gsize i = 0; i < G_N_ELEMENTS (digests); i++)
    {
      gsize n = strlen (digests[i].name);

      if (length >= n && memcmp (message, digests[i].name, n) == 0)
        return &digests[i];
    }
  return NULL;
}

static gsize
make_mac (MpHandshake *self, const Digest *digest, const guint8 *message, gsize length, guint8 *mac)
{
  gsize key_length, mac_length = MAX_MAC;
  const guint8 *key = g_bytes_get_data (self->authkey, &key_length);
  GHmac *hmac;

  /* An empty key is a key. */
  if (key == NULL)
    key = (const guint8 *) "";
  if (digest->sha3_length > 0)
    {
      mp_sha3_hmac (digest->sha3_length, key, key_length, message, length, mac);
      return digest->sha3_length;
    }
  hmac = g_hmac_new (digest->type, key, key_length);
  g_hmac_update (hmac, message, (gssize) length);
  g_hmac_get_digest (hmac, mac, &mac_length);
  g_hmac_unref (hmac);
  return mac_length;
}

/* Takes as long wherever they differ. */
static gboolean
are_equal (const guint8 *a, const guint8 *b, gsize length)
{
  volatile guint8 difference = 0;

  for (gsize i = 0; i < length; i++)
    difference |= a[i] ^ b[i];
  return difference == 0;
}

static gboolean
is_right_reply (MpHandshake *self, const guint8 *reply, gsize length)
{
  const Digest *digest = length == OLD_MAC ? &digests[0] : find_digest (reply, length);
  guint8 mac[MAX_MAC];
  gsize n_name, n_mac;

  if (digest == NULL)
    return FALSE;
  n_name = length == OLD_MAC ? 0 : strlen (digest->name);
  n_mac = make_mac (self, digest, self->challenge, sizeof self->challenge, mac);
  return length - n_name == n_mac && are_equal (reply + n_name, mac, n_mac);
}

/* Messages */

static gboolean
answer (MpHandshake *self, const guint8 *message, gsize length)
{
  const Digest *digest = &digests[0];
  guint8 reply[MP_HANDSHAKE_MAX_LENGTH];
  gsize n_name = 0;

  if (length < strlen (CHALLENGE) || memcmp (message, CHALLENGE, strlen (CHALLENGE)) != 0)
    return fail (self, "The other end did not begin with a challenge: it may have no key");
  message += strlen (CHALLENGE);
  length -= strlen (CHALLENGE);
  if (length < OLD_RANDOM)
    return fail (self, "The challenge of the other end is too short");
  if (length > OLD_RANDOM)
    {
      digest = find_digest (message, length);
      if (digest == NULL)
        return fail (self, "The challenge of the other end names no digest that is known");
      n_name = strlen (digest->name);
      memcpy (reply, message, n_name);
    }
  put_message (self, reply, n_name + make_mac (self, digest, message, length, reply + n_name));
  self->step = STEP_VERDICT;
  return TRUE;
}

static gboolean
handle_message (MpHandshake *self, const guint8 *message, gsize length)
{
  switch (self->step)
    {
    case STEP_CHALLENGE:
      return answer (self, message, length);
    case STEP_REPLY:
      if (!is_right_reply (self, message, length))
        {
          put_message (self, FAILURE, strlen (FAILURE));
          return fail (self, "The other end has another key");
        }
      put_message (self, WELCOME, strlen (WELCOME));
      break;
    case STEP_VERDICT:
      if (length != strlen (WELCOME) || memcmp (message, WELCOME, length) != 0)
        return fail (self, "The other end has rejected the key of this one");
      break;
    case STEP_OVER:
    default:
      g_return_val_if_reached (FALSE);
    }
  self->n_halves++;
  begin_half (self);
  return TRUE;
}

/* Bytes */

static MpFlow
flush (MpHandshake *self, MpTransport *transport, GError **error)
{
  while (self->n_sent < self->n_out)
    {
      struct iovec part = { .iov_base = self->out + self->n_sent,
                            .iov_len = self->n_out - self->n_sent };
      gssize n = mp_transport_write (transport, &part, 1, NULL, 0);

      if (n < 0 && errno == EAGAIN)
        return MP_FLOW_AGAIN;
      if (n < 0)
        {
          mp_transport_set_error (transport, errno, "The handshake", error);
          return MP_FLOW_FAILED;
        }
      self->n_sent += (gsize) n;
    }
  self->n_sent = self->n_out = 0;
  return MP_FLOW_DONE;
}

/* How long the message that comes is, as far as that is known. */
static gboolean
get_size (MpHandshake *self, gsize *size)
{
  guint32 length = 0;

  if (self->n_in >= MP_FRAME_SHORT_HEADER)
    memcpy (&length, self->in, sizeof length);
  *size = GUINT32_FROM_BE (length);
  if (*size <= MP_HANDSHAKE_MAX_LENGTH)
    return TRUE;
  self->error = g_error_new (MP_ERROR,
                             MP_ERROR_AUTHENTICATION,
                             "A message of %" G_GSIZE_FORMAT " bytes before the key was shown: %d "
                             "are allowed",
                             *size,
                             MP_HANDSHAKE_MAX_LENGTH);
  return FALSE;
}

/* One message. */
static MpFlow
receive (MpHandshake *self, MpTransport *transport, GError **error)
{
  gsize size = 0;

  for (;;)
    {
      gsize wanted;
      gssize n;

      if (!get_size (self, &size))
        return MP_FLOW_DONE;
      wanted = MP_FRAME_SHORT_HEADER;
      if (self->n_in >= MP_FRAME_SHORT_HEADER)
        wanted += size;
      if (self->n_in == wanted && self->n_in >= MP_FRAME_SHORT_HEADER)
        break;
      n = mp_transport_read (transport, self->in + self->n_in, wanted - self->n_in, NULL);
      if (n < 0 && errno == EAGAIN)
        return MP_FLOW_AGAIN;
      if (n < 0 && errno != ECONNRESET)
        mp_transport_set_error (transport, errno, "The handshake", error);
      else if (n <= 0)
        g_set_error_literal (error,
                             MP_ERROR,
                             MP_ERROR_CLOSED,
                             "The other end has gone during the handshake");
      if (n <= 0)
        return MP_FLOW_FAILED;
      self->n_in += (gsize) n;
    }
  self->n_in = 0;
  handle_message (self, self->in + MP_FRAME_SHORT_HEADER, size);
  return MP_FLOW_DONE;
}

MpFlow
mp_handshake_advance (MpHandshake *self,
                      MpTransport *transport,
                      GIOCondition *condition,
                      GError **error)
{
  MpFlow flow;

  for (;;)
    {
      *condition = G_IO_OUT;
      flow = flush (self, transport, self->error == NULL ? error : NULL);
      if (self->error != NULL)
        {
          /* What the other end is to hear are a few bytes: there is room, or it has gone. */
          g_propagate_error (error, g_steal_pointer (&self->error));
          return MP_FLOW_FAILED;
        }
      if (flow != MP_FLOW_DONE || self->step == STEP_OVER)
        return flow;
      *condition = G_IO_IN;
      flow = receive (self, transport, error);
      if (flow != MP_FLOW_DONE)
        return flow;
    }
}
