/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The handshake against ends that are written byte by byte: those of old and of new
 * versions of multiprocessing.connection, and some that neither speaks like. */

#include "connection-util.h"

#include "../../libmp/channel/mp-handshake-private.h"

#define KEY "supadupasecretkey"
#define MODERN "#CHALLENGE#{sha256}"

/* One end, and the descriptor of the other. */
typedef struct
{
  MpTransport transport;
  MpHandshake *handshake;
  int other;
} End;

static void
end_clear (End *self)
{
  mp_transport_clear (&self->transport);
  g_clear_pointer (&self->handshake, mp_handshake_free);
  if (self->other >= 0)
    close (self->other);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (End, end_clear)

static End
end_new (gboolean listens, const char *key)
{
  g_autoptr (GBytes) authkey = g_bytes_new (key, strlen (key));
  End self;
  int fds[2];

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
  g_assert_true (mp_transport_init (&self.transport, fds[0], NULL));
  self.handshake = mp_handshake_new (authkey, listens);
  self.other = fds[1];
  return self;
}

static MpFlow
advance (End *self, GError **error)
{
  GIOCondition condition = 0;

  return mp_handshake_advance (self->handshake, &self->transport, &condition, error);
}

static void
assert_goes_on (End *self)
{
  g_autoptr (GError) error = NULL;
  MpFlow flow = advance (self, &error);

  g_assert_no_error (error);
  g_assert_cmpint (flow, ==, MP_FLOW_AGAIN);
}

static void
assert_fails (End *self, int code, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (advance (self, &error), ==, MP_FLOW_FAILED);
  g_assert_error (error, MP_ERROR, code);
  g_assert_nonnull (strstr (error->message, text));
}

static void
put (End *self, const void *data, gsize length)
{
  const guint8 header[] = { 0, 0, 0, (guint8) length };

  write_all (self->other, header, sizeof header);
  write_all (self->other, data, length);
}

static void
put_text (End *self, const char *text)
{
  put (self, text, strlen (text));
}

/* The next message that the end has sent. */
static gsize
get (End *self, guint8 *data)
{
  guint8 header[4];

  read_all (self->other, header, sizeof header);
  g_assert_cmpint (header[0] | header[1] | header[2], ==, 0);
  read_all (self->other, data, header[3]);
  return header[3];
}

static void
assert_gets (End *self, const void *data, gsize length)
{
  guint8 message[256];
  gsize n = get (self, message);

  g_assert_cmpmem (message, n, data, length);
}

/* A message of @name (with braces, or none) and the MAC in @hex, or of @challenge. */
static gsize
make_reply (guint8 *reply,
            const char *name,
            GChecksumType type,
            const char *key,
            const guint8 *challenge,
            gsize length)
{
  gsize n_name = strlen (name), n_mac = 64;
  GHmac *hmac = g_hmac_new (type, (const guint8 *) key, strlen (key));

  g_hmac_update (hmac, challenge, (gssize) length);
  memcpy (reply, name, n_name);
  g_hmac_get_digest (hmac, reply + n_name, &n_mac);
  g_hmac_unref (hmac);
  return n_name + n_mac;
}

static gsize
from_hex (const char *hex, guint8 *data)
{
  gsize n = strlen (hex) / 2;

  for (gsize i = 0; i < n; i++)
    data[i] =
      (guint8) (g_ascii_xdigit_value (hex[2 * i]) << 4 | g_ascii_xdigit_value (hex[2 * i + 1]));
  return n;
}

static void
test_vectors (void)
{
  g_auto (End) modern = end_new (FALSE, KEY), old = end_new (FALSE, KEY);
  guint8 challenge[64], reply[64] = "{sha256}";
  gsize n;

  g_test_summary ("The answers to known challenges, of the new kind and of the old");
  memcpy (challenge, MODERN, strlen (MODERN));
  for (int i = 0; i < 40; i++)
    challenge[strlen (MODERN) + i] = (guint8) i;
  put (&modern, challenge, strlen (MODERN) + 40);
  assert_goes_on (&modern);
  n = 8 + from_hex ("8d546a07722430e6e36d9a1e16a2b23c30b7f555678dc9d50321e882a89160fc", reply + 8);
  assert_gets (&modern, reply, n);

  memcpy (challenge, "#CHALLENGE#", 11);
  for (int i = 0; i < 20; i++)
    challenge[11 + i] = (guint8) i;
  put (&old, challenge, 31);
  assert_goes_on (&old);
  n = from_hex ("264a416e6bf8fbca704dd80d6acd61c2", reply);
  assert_gets (&old, reply, n);
}

static void
test_other_digests (void)
{
  static const struct
  {
    const char *name;
    const char *mac;
  } digests[] = {
    { "{sha384}",
      "80f217a24d41a113e9724667529721c68db497159c18e345"
      "a8f56026bea288054250b72024db3d2a66f5cb3579b7df83" },
    { "{sha3_256}", "2984584f46f14f34164437f95c8a44d8b23b6873e146182134a4c58a75df604d" },
    { "{sha3_384}",
      "df59fcaa8c7df1db9b842a125150a5445e4cfa817a33dcd2"
      "9e1c33b6e5f4a440592e9aad867c49f3d9e3014188433548" },
  };

  g_test_summary ("The answers to challenges that name another digest");
  for (gsize i = 0; i < G_N_ELEMENTS (digests); i++)
    {
      g_auto (End) end = end_new (FALSE, KEY);
      gsize n_name = strlen (digests[i].name);
      guint8 challenge[100] = "#CHALLENGE#", reply[100];

      memcpy (challenge + 11, digests[i].name, n_name);
      for (int j = 0; j < 40; j++)
        challenge[11 + n_name + (gsize) j] = (guint8) j;
      put (&end, challenge, 11 + n_name + 40);
      assert_goes_on (&end);
      memcpy (reply, digests[i].name, n_name);
      assert_gets (&end, reply, n_name + from_hex (digests[i].mac, reply + n_name));
    }
}

static void
test_old_answer (void)
{
  guint8 challenge[48] = "{sha256}", reply[16], expected[16];

  g_test_summary ("What an old client answers to a new challenge is over all of it");
  for (int i = 0; i < 40; i++)
    challenge[8 + i] = (guint8) i;
  make_reply (reply, "", G_CHECKSUM_MD5, KEY, challenge, 48);
  from_hex ("3dd4e9882f920c33ae4c8c27e52d30c6", expected);
  g_assert_cmpmem (reply, 16, expected, 16);
}

/* Both ways, with a peer that answers with @name. */
static void
go_through (gboolean listens, const char *name, GChecksumType type, gboolean old_challenge)
{
  g_auto (End) end = end_new (listens, KEY);
  g_autoptr (GError) error = NULL;
  guint8 message[256], reply[256], challenge[256] = "#CHALLENGE#";
  gsize n_challenge, n;

  n_challenge = 11 + strlen (old_challenge ? "" : name);
  memcpy (challenge + 11, name, n_challenge - 11);
  n_challenge += old_challenge ? 20 : 40;
  for (int half = 0; half < 2; half++)
    {
      if ((half == 0) == listens)
        {
          assert_goes_on (&end);
          n = get (&end, message);
          g_assert_cmpuint (n, ==, 59);
          g_assert_cmpmem (message, 19, MODERN, 19);
          put (&end, reply, make_reply (reply, name, type, KEY, message + 11, n - 11));
          if (half == 1)
            {
              write_all (end.other, "behind it", 9);
              g_assert_cmpint (advance (&end, &error), ==, MP_FLOW_DONE);
            }
          else
            assert_goes_on (&end);
          assert_gets (&end, "#WELCOME#", 9);
          continue;
        }
      put (&end, challenge, n_challenge);
      assert_goes_on (&end);
      n = make_reply (reply,
                      old_challenge ? "" : name,
                      old_challenge ? G_CHECKSUM_MD5 : type,
                      KEY,
                      challenge + 11,
                      n_challenge - 11);
      assert_gets (&end, reply, n);
      put_text (&end, "#WELCOME#");
      write_all (end.other, "behind it", half == 1 ? 9 : 0);
      if (half == 1)
        g_assert_cmpint (advance (&end, &error), ==, MP_FLOW_DONE);
    }
  g_assert_no_error (error);
  g_assert_cmpint (mp_transport_read (&end.transport, message, 20, NULL), ==, 9);
  g_assert_cmpmem (message, 9, "behind it", 9);
}

static void
test_generations (void)
{
  g_test_summary ("Both ends, with peers of both generations, and each digest");
  for (int listens = 0; listens < 2; listens++)
    {
      go_through (listens, "{sha256}", G_CHECKSUM_SHA256, FALSE);
      go_through (listens, "{sha384}", G_CHECKSUM_SHA384, FALSE);
      go_through (listens, "{md5}", G_CHECKSUM_MD5, FALSE);
      go_through (listens, "", G_CHECKSUM_MD5, TRUE);
    }
}

/* Both ends are ours. */
static MpFlow
meet (const char *one_key, const char *other_key, GError **one_error, GError **other_error)
{
  g_auto (End) one = end_new (TRUE, one_key), other = end_new (FALSE, other_key);
  MpFlow flow = MP_FLOW_AGAIN, other_flow = MP_FLOW_AGAIN;

  mp_transport_clear (&other.transport);
  g_assert_true (mp_transport_init (&other.transport, g_steal_fd (&one.other), NULL));
  while (flow == MP_FLOW_AGAIN || other_flow == MP_FLOW_AGAIN)
    {
      if (flow == MP_FLOW_AGAIN)
        flow = advance (&one, one_error);
      if (other_flow == MP_FLOW_AGAIN)
        other_flow = advance (&other, other_error);
    }
  g_assert_cmpint (flow, ==, other_flow);
  return flow;
}

static void
test_keys (void)
{
  g_autofree char *key = g_strnfill (1000, 'k');
  const char *bad[][2] = { { KEY, "other" }, { "", "x" }, { "x", "" }, { "a", "A" } };

  g_test_summary ("Keys of any length, and others, which both ends are told");
  g_assert_cmpint (meet (KEY, KEY, NULL, NULL), ==, MP_FLOW_DONE);
  g_assert_cmpint (meet ("", "", NULL, NULL), ==, MP_FLOW_DONE);
  g_assert_cmpint (meet (key, key, NULL, NULL), ==, MP_FLOW_DONE);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) one = NULL;
      g_autoptr (GError) other = NULL;

      g_assert_cmpint (meet (bad[i][0], bad[i][1], &one, &other), ==, MP_FLOW_FAILED);
      g_assert_error (one, MP_ERROR, MP_ERROR_AUTHENTICATION);
      g_assert_nonnull (strstr (one->message, "has another key"));
      g_assert_error (other, MP_ERROR, MP_ERROR_AUTHENTICATION);
      g_assert_nonnull (strstr (other->message, "has rejected the key"));
    }
}

static void
test_wrong_replies (void)
{
  static const struct
  {
    const char *text;
    gsize length;
  } replies[] = {
    { "", 0 },
    { "0123456789abcdef", 16 },
    { "{sha256}", 8 },
    { "{sha256}0123456789abcdef0123456789abcdef", 40 },
    { "{sha256}0123456789abcdef0123456789abcde", 39 },
    { "{sha1}0123456789abcdef", 22 },
    { "{", 1 },
    { "{sha256", 7 },
  };

  g_test_summary ("A reply that is not right is told so");
  for (gsize i = 0; i < G_N_ELEMENTS (replies); i++)
    {
      g_auto (End) end = end_new (TRUE, KEY);
      guint8 challenge[256];

      assert_goes_on (&end);
      get (&end, challenge);
      put (&end, replies[i].text, replies[i].length);
      assert_fails (&end, MP_ERROR_AUTHENTICATION, "another key");
      assert_gets (&end, "#FAILURE#", 9);
    }
}

static void
test_wrong_challenges (void)
{
  static const struct
  {
    const char *text;
    const char *error;
  } challenges[] = {
    { "", "did not begin with a challenge" },
    { "hello", "did not begin with a challenge" },
    { "#CHALLENGE", "did not begin with a challenge" },
    { "#CHALLENGE#", "too short" },
    { "#CHALLENGE#{sha256}01234567890", "too short" },
    { "#CHALLENGE#0123456789012345678901234567890123456789", "no digest" },
    { "#CHALLENGE#{sha1}0123456789012345678901234567890123456789", "no digest" },
    { "#CHALLENGE#{sha2560123456789012345678901234567890123456789", "no digest" },
  };

  g_test_summary ("A challenge that is none is not answered");
  for (gsize i = 0; i < G_N_ELEMENTS (challenges); i++)
    {
      g_auto (End) end = end_new (FALSE, KEY);

      put_text (&end, challenges[i].text);
      assert_fails (&end, MP_ERROR_AUTHENTICATION, challenges[i].error);
    }
}

static void
test_verdicts (void)
{
  const char *verdicts[] = { "#FAILURE#", "#WELCOME", "#WELCOME##", "" };

  g_test_summary ("Anything but a welcome is none");
  for (gsize i = 0; i < G_N_ELEMENTS (verdicts); i++)
    {
      g_auto (End) end = end_new (FALSE, KEY);

      put_text (&end, "#CHALLENGE#01234567890123456789");
      assert_goes_on (&end);
      put_text (&end, verdicts[i]);
      assert_fails (&end, MP_ERROR_AUTHENTICATION, "rejected");
    }
}

static void
test_lengths (void)
{
  static const char *const headers[] = { "\0\0\1\1", "\377\377\377\377", "\200\0\0\0", "GET " };

  g_test_summary ("A message of more than 256 bytes is not even read; one byte at a time is");
  for (int listens = 0; listens < 2; listens++)
    for (gsize i = 0; i < G_N_ELEMENTS (headers); i++)
      {
        g_auto (End) end = end_new (listens, KEY);

        assert_goes_on (&end);
        for (int j = 0; j < 3; j++)
          {
            write_all (end.other, headers[i] + j, 1);
            assert_goes_on (&end);
          }
        write_all (end.other, headers[i] + 3, 1);
        assert_fails (&end, MP_ERROR_AUTHENTICATION, "256 are allowed");
      }
}

static void
test_gone (void)
{
  g_test_summary ("An end that leaves in the middle");
  for (int listens = 0; listens < 2; listens++)
    for (int n = 0; n < 8; n++)
      {
        g_auto (End) end = end_new (listens, KEY);
        guint8 challenge[256];

        assert_goes_on (&end);
        if (listens)
          get (&end, challenge);
        write_all (end.other, "\0\0\0\20abcd", (gsize) n);
        close (g_steal_fd (&end.other));
        assert_fails (&end, MP_ERROR_CLOSED, "has gone");
      }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/handshake/vectors", test_vectors);
  g_test_add_func ("/mp/handshake/other-digests", test_other_digests);
  g_test_add_func ("/mp/handshake/old-answer", test_old_answer);
  g_test_add_func ("/mp/handshake/generations", test_generations);
  g_test_add_func ("/mp/handshake/keys", test_keys);
  g_test_add_func ("/mp/handshake/wrong-replies", test_wrong_replies);
  g_test_add_func ("/mp/handshake/wrong-challenges", test_wrong_challenges);
  g_test_add_func ("/mp/handshake/verdicts", test_verdicts);
  g_test_add_func ("/mp/handshake/lengths", test_lengths);
  g_test_add_func ("/mp/handshake/gone", test_gone);
  return g_test_run ();
}
