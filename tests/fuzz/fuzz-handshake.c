/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The handshake, with an end that writes whatever it likes. It may have the key or not:
 * without it, nobody comes in. */

#include "fuzz.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../libmp/base/mp-error.h"
#include "../../libmp/channel/mp-frame-private.h"
#include "../../libmp/channel/mp-handshake-private.h"

#define MAX_OPERATIONS 60
#define KEY "the key"

const char *const fuzz_name = "fuzz-handshake";

static int other;
static guint8 challenge[MP_HANDSHAKE_MAX_LENGTH]; /* the last that was heard */
static gsize n_challenge;
static gboolean proved; /* it was answered with the key */

void
fuzz_setup (void)
{
}

static void
put (const void *data, gsize length)
{
  if (send (other, data, length, MSG_DONTWAIT | MSG_NOSIGNAL) != (gssize) length)
    fuzz_fail ("there is no room for a handshake");
}

static void
put_message (const void *data, gsize length)
{
  guint8 header[12];

  put (header, mp_frame_write_header (header, length));
  put (data, length);
}

/* What the honest end has said. */
static void
listen_to_it (void)
{
  guint8 data[4 * MP_HANDSHAKE_MAX_LENGTH];
  gssize n = recv (other, data, sizeof data, MSG_DONTWAIT);

  for (gssize at = 0; at + 4 <= n; at += 4 + data[at + 3])
    {
      if (data[at] != 0 || data[at + 1] != 0 || data[at + 2] != 0 || at + 4 + data[at + 3] > n)
        fuzz_fail ("it does not speak in messages");
      if (data[at + 3] < 31 || memcmp (data + at + 4, "#CHALLENGE#", 11) != 0)
        continue;
      n_challenge = data[at + 3] - 11u;
      memcpy (challenge, data + at + 15, n_challenge);
    }
}

/* The answer to what it asked, with the key. */
static void
answer (FuzzInput *input)
{
  static const struct
  {
    const char *name;
    GChecksumType type;
  } digests[] = { { "{sha256}", G_CHECKSUM_SHA256 },
                  { "{sha384}", G_CHECKSUM_SHA384 },
                  { "{md5}", G_CHECKSUM_MD5 },
                  { "", G_CHECKSUM_MD5 } };
  guint choice = fuzz_choose (input, G_N_ELEMENTS (digests));
  gsize n_name = strlen (digests[choice].name), n_mac = 64;
  /* Or with a part of it. */
  gsize n_key = strlen (KEY) - (fuzz_choose (input, 8) == 0 ? 1 : 0);
  guint8 reply[100];
  GHmac *hmac = g_hmac_new (digests[choice].type, (const guint8 *) KEY, n_key);

  proved = proved || n_key == strlen (KEY);
  memcpy (reply, digests[choice].name, n_name);
  g_hmac_update (hmac, challenge, (gssize) n_challenge);
  g_hmac_get_digest (hmac, reply + n_name, &n_mac);
  g_hmac_unref (hmac);
  put_message (reply, n_name + n_mac);
}

static void
be_hostile (FuzzInput *input)
{
  static const char *const texts[] = {
    "#WELCOME#",
    "#FAILURE#",
    "#CHALLENGE#",
    "#CHALLENGE#01234567890123456789",
    "#CHALLENGE#{sha256}0123456789012345678901234567890123456789",
    "#CHALLENGE#{sha384}0123456789012345678901234567890123456789",
    "#CHALLENGE#{sha3_256}0123456789012345678901234567890123456789",
  };
  const guint8 *bytes;
  const char *text;
  gsize length;

  switch (fuzz_choose (input, 6))
    {
    case 0:
      bytes = fuzz_bytes (input, fuzz_u8 (input), &length);
      put (bytes, length);
      break;
    case 1:
      bytes = fuzz_bytes (input, fuzz_u8 (input), &length);
      put_message (bytes, length);
      break;
    case 2:
    case 3:
      text = texts[fuzz_choose (input, G_N_ELEMENTS (texts))];
      put_message (text, strlen (text));
      break;
    case 4:
      if (n_challenge > 0)
        answer (input);
      break;
    default:
      if (fuzz_choose (input, 16) == 0)
        shutdown (other, SHUT_WR);
    }
}

static gboolean
is_known_error (const GError *error)
{
  return error->domain == MP_ERROR &&
         (error->code == MP_ERROR_AUTHENTICATION || error->code == MP_ERROR_CLOSED);
}

static MpFlow
advance (MpHandshake *handshake, MpTransport *transport)
{
  GIOCondition condition = 0;
  GError *error = NULL;
  MpFlow flow;

  fuzz_operation ("mp_handshake_advance", 0);
  flow = mp_handshake_advance (handshake, transport, &condition, &error);
  listen_to_it ();
  if ((flow == MP_FLOW_FAILED) != (error != NULL) || (error != NULL && !is_known_error (error)))
    fuzz_fail ("an unknown error");
  if (flow == MP_FLOW_AGAIN && condition != G_IO_IN)
    fuzz_fail ("it waits for room");
  fuzz_check_error (error);
  if (flow == MP_FLOW_DONE && !proved)
    fuzz_fail ("somebody without the key came in");
  return flow;
}

void
fuzz_run (FuzzInput *input)
{
  g_autoptr (GBytes) key = g_bytes_new_static (KEY, strlen (KEY));
  g_autoptr (MpHandshake) handshake = mp_handshake_new (key, (fuzz_u8 (input) & 1) != 0);
  MpTransport transport;
  MpFlow flow = MP_FLOW_AGAIN;
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0 ||
      !mp_transport_init (&transport, fds[0], NULL))
    fuzz_fail ("no socket");
  other = fds[1];
  n_challenge = 0;
  proved = FALSE;
  fuzz_begin (input, NULL);
  for (guint i = 0; i < MAX_OPERATIONS && flow == MP_FLOW_AGAIN && fuzz_has_more (input); i++)
    {
      be_hostile (input);
      flow = advance (handshake, &transport);
    }
  fuzz_end ();
  mp_transport_clear (&transport);
  close (other);
}
