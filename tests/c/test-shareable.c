/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "libmp.h"
#include "base/mp-fd-private.h"
#include "test-util.h"

typedef struct
{
  MpQueue *queue;
  GVariant *handle;
  GUnixFDList *fd_list;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  self->queue = mp_queue_new (0, 0, &error);
  g_assert_no_error (error);
  self->fd_list = g_unix_fd_list_new ();
  self->handle = mp_shareable_to_handle (MP_SHAREABLE (self->queue), self->fd_list, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_clear_object (&self->queue);
  g_clear_object (&self->fd_list);
  g_clear_pointer (&self->handle, g_variant_unref);
}

static void
assert_refused (const char *text, GUnixFDList *fd_list, int code)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) handle = g_variant_ref_sink (g_variant_new_parsed (text));
  MpShareable *object = mp_shareable_new_from_handle (handle, fd_list, &error);

  g_assert_null (object);
  g_assert_error (error, MP_ERROR, code);
}

static guint64
get_namespace (Fixture *self)
{
  g_autoptr (GVariant) layout = g_variant_get_child_value (self->handle, 2);
  guint64 namespace = 0;

  g_assert_true (g_variant_lookup (layout, "pidns", "t", &namespace));
  return namespace;
}

/* The handle with other descriptors, or other anything. */
static GVariant *
make_handle (Fixture *self, const char *kind, guint version, const char *fds)
{
  g_autofree char *text =
    g_strdup_printf ("(%s, uint32 %u, {'pidns': <uint64 %" G_GUINT64_FORMAT ">}, @ah %s)",
                     kind,
                     version,
                     get_namespace (self),
                     fds);

  return g_variant_ref_sink (g_variant_new_parsed (text));
}

static void
assert_handle_refused (GVariant *handle, GUnixFDList *fd_list, int code)
{
  g_autoptr (GVariant) owned = handle;
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_shareable_new_from_handle (owned, fd_list, &error));
  g_assert_error (error, MP_ERROR, code);
}

static void
test_same (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpShareable) other = NULL;
  g_autoptr (GVariant) value = NULL;

  g_test_summary ("What comes out of a handle is the same thing");
  g_assert_cmpstr (g_variant_get_type_string (self->handle), ==, "(sua{sv}ah)");
  g_assert_false (g_variant_is_floating (self->handle));
  other = mp_shareable_new_from_handle (self->handle, self->fd_list, &error);
  g_assert_no_error (error);
  g_assert_true (MP_IS_QUEUE (other));
  g_assert_true (mp_queue_put (self->queue, g_variant_new_int32 (7), 0, NULL, NULL));
  value = mp_queue_get (MP_QUEUE (other), 0, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int32 (value), ==, 7);
}

static void
test_outlives (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpShareable) other = NULL;
  g_autoptr (GVariant) value = NULL;

  g_test_summary ("A handle is good when its maker is gone");
  mp_queue_put (self->queue, g_variant_new_int32 (7), 0, NULL, NULL);
  g_clear_object (&self->queue);
  other = mp_shareable_new_from_handle (self->handle, self->fd_list, &error);
  g_assert_no_error (error);
  value = mp_queue_get (MP_QUEUE (other), 0, NULL, &error);
  g_assert_cmpint (g_variant_get_int32 (value), ==, 7);
}

static int
answer_on_socket (gpointer data)
{
  int socket_fd = GPOINTER_TO_INT (data);
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (MpShareable) queue = NULL;
  guint8 buffer[1024];
  gssize length = mp_fd_receive_message (socket_fd, buffer, sizeof buffer, fds);

  if (length <= 0)
    return 1;
  fd_list = g_unix_fd_list_new_from_array ((int *) (gpointer) fds->data, (int) fds->len);
  handle = g_variant_ref_sink (g_variant_new_from_data (G_VARIANT_TYPE ("(sua{sv}ah)"),
                                                        buffer,
                                                        (gsize) length,
                                                        FALSE,
                                                        NULL,
                                                        NULL));
  queue = mp_shareable_new_from_handle (handle, fd_list, NULL);
  if (queue == NULL)
    return 2;
  return mp_queue_put (MP_QUEUE (queue), g_variant_new_string ("hello"), 0, NULL, NULL) ? 0 : 3;
}

static void
test_socket (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;
  int sockets[2], n_fds;
  const int *fds = g_unix_fd_list_peek_fds (self->fd_list, &n_fds);
  GPid pid;

  g_test_summary ("Handle and descriptors over a socket to another process");
  g_assert_no_errno (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
  pid = test_fork (answer_on_socket, GINT_TO_POINTER (sockets[1]));
  g_assert_true (mp_fd_send_message (sockets[0],
                                     g_variant_get_data (self->handle),
                                     g_variant_get_size (self->handle),
                                     fds,
                                     (guint) n_fds));
  value = mp_queue_get (self->queue, 20 * G_USEC_PER_SEC, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "hello");
  g_assert_cmpint (test_join (pid), ==, 0);
  close (sockets[0]);
  close (sockets[1]);
}

static void
test_shape (Fixture *self, gconstpointer data)
{
  g_test_summary ("Variants that are no handles");
  assert_refused ("1", self->fd_list, MP_ERROR_TYPE);
  assert_refused ("('queue', 1)", self->fd_list, MP_ERROR_TYPE);
  assert_refused ("('nothing', uint32 1, @a{sv} {}, @ah [])", NULL, MP_ERROR_NOT_SUPPORTED);
  assert_refused ("('queue', uint32 1, @a{sv} {}, @ah [])", NULL, MP_ERROR_NOT_SUPPORTED);
  assert_refused ("('queue', uint32 1, {'pidns': <uint64 1>}, @ah [])",
                  self->fd_list,
                  MP_ERROR_NOT_SUPPORTED);
  assert_handle_refused (make_handle (self, "'queue'", 2, "[0, 1, 2]"),
                         self->fd_list,
                         MP_ERROR_NOT_SUPPORTED);
  assert_handle_refused (make_handle (self, "'ring'", 1, "[0, 1, 2]"),
                         self->fd_list,
                         MP_ERROR_NOT_SUPPORTED);
}

static void
test_numbers (Fixture *self, gconstpointer data)
{
  g_autoptr (GUnixFDList) empty = g_unix_fd_list_new ();
  static const char *const lists[] = {
    "[]",        "[0]",       "[0, 1, 2, 2]", "[0, 1, 3]",    "[0, 1, -1]",         "[1, 0, 2]",
    "[0, 0, 0]", "[2, 1, 0]", "[0, 1, 0]",    "[1000, 1, 2]", "[2147483647, 1, 2]",
  };

  g_test_summary ("Numbers of descriptors that are not there, or are others");
  for (gsize i = 0; i < G_N_ELEMENTS (lists); i++)
    assert_handle_refused (make_handle (self, "'queue'", 1, lists[i]),
                           self->fd_list,
                           MP_ERROR_CORRUPT);
  assert_handle_refused (make_handle (self, "'queue'", 1, "[0, 1, 2]"), NULL, MP_ERROR_CORRUPT);
  assert_handle_refused (make_handle (self, "'queue'", 1, "[0, 1, 2]"), empty, MP_ERROR_CORRUPT);
}

/* The handle with @fd in place of the shared memory. */
static void
assert_memory_refused (Fixture *self, int fd)
{
  const int *fds = g_unix_fd_list_peek_fds (self->fd_list, NULL);
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  guint n_fds;

  g_unix_fd_list_append (fd_list, fd, NULL);
  g_unix_fd_list_append (fd_list, fds[1], NULL);
  g_unix_fd_list_append (fd_list, fds[2], NULL);
  n_fds = test_count_fds ();
  assert_handle_refused (make_handle (self, "'queue'", 1, "[0, 1, 2]"), fd_list, MP_ERROR_CORRUPT);
  g_assert_cmpuint (test_count_fds (), ==, n_fds);
}

/* A copy of the shared memory of the first @length bytes. */
static int
copy_memory (Fixture *self, gsize length, int seals)
{
  const int *fds = g_unix_fd_list_peek_fds (self->fd_list, NULL);
  g_autofree guint8 *bytes = g_malloc0 (length);
  int fd = memfd_create ("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  g_assert_cmpint (pread (fds[0], bytes, length, 0), >, 0);
  g_assert_cmpint (pwrite (fd, bytes, length, 0), ==, length);
  g_assert_no_errno (fcntl (fd, F_ADD_SEALS, seals));
  return fd;
}

static void
test_memory (Fixture *self, gconstpointer data)
{
  g_auto (MpFd) truncated = copy_memory (self, 65536, F_SEAL_SHRINK);
  g_auto (MpFd) tiny = copy_memory (self, 10, F_SEAL_SHRINK);
  g_auto (MpFd) unsealed = copy_memory (self, 65536 + 256 * 1024, F_SEAL_GROW);
  g_auto (MpFd) foreign = memfd_create ("foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  g_test_summary ("Memory that is truncated, not sealed, or of somebody else");
  assert_memory_refused (self, truncated);
  assert_memory_refused (self, tiny);
  assert_memory_refused (self, unsealed);
  g_assert_no_errno (ftruncate (foreign, 1024 * 1024));
  g_assert_no_errno (fcntl (foreign, F_ADD_SEALS, F_SEAL_SHRINK));
  assert_memory_refused (self, foreign);
}

static void
test_fuzz (Fixture *self, gconstpointer data)
{
  gsize size = 65536 + 256 * 1024;

  g_test_summary ("Headers with a damaged byte are refused, or do no harm");
  for (gsize at = 0; at < 24 + 8 * 8; at++)
    {
      g_auto (MpFd) fd = copy_memory (self, size, F_SEAL_SHRINK);
      const int *fds = g_unix_fd_list_peek_fds (self->fd_list, NULL);
      g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
      g_autoptr (GVariant) handle = make_handle (self, "'queue'", 1, "[0, 1, 2]");
      g_autoptr (MpShareable) queue = NULL;
      guint8 byte = (guint8) g_test_rand_int ();

      g_assert_cmpint (pwrite (fd, &byte, 1, (off_t) at), ==, 1);
      g_unix_fd_list_append (fd_list, fd, NULL);
      g_unix_fd_list_append (fd_list, fds[1], NULL);
      g_unix_fd_list_append (fd_list, fds[2], NULL);
      queue = mp_shareable_new_from_handle (handle, fd_list, NULL);
      if (queue != NULL && mp_queue_put (MP_QUEUE (queue), g_variant_new_int32 (1), 0, NULL, NULL))
        {
          g_autoptr (GVariant) value = mp_queue_get (MP_QUEUE (queue), 0, NULL, NULL);

          g_assert_nonnull (value);
        }
    }
}

static void
test_leaks (Fixture *self, gconstpointer data)
{
  guint n_fds = test_count_fds ();

  g_test_summary ("A thousand imports leave nothing behind");
  for (int i = 0; i < 1000; i++)
    {
      g_autoptr (MpShareable) queue =
        mp_shareable_new_from_handle (self->handle, self->fd_list, NULL);
      g_autoptr (GVariant) value = NULL;

      g_assert_true (mp_queue_put (MP_QUEUE (queue), g_variant_new_int32 (i), 0, NULL, NULL));
      value = mp_queue_get (self->queue, 0, NULL, NULL);
      g_assert_cmpint (g_variant_get_int32 (value), ==, i);
    }
  g_assert_cmpuint (test_count_fds (), ==, n_fds);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *path;
    void (*test) (Fixture *self, gconstpointer data);
  } tests[] = {
    { "/mp/shareable/same", test_same },       { "/mp/shareable/outlives", test_outlives },
    { "/mp/shareable/socket", test_socket },   { "/mp/shareable/shape", test_shape },
    { "/mp/shareable/numbers", test_numbers }, { "/mp/shareable/memory", test_memory },
    { "/mp/shareable/fuzz", test_fuzz },       { "/mp/shareable/leaks", test_leaks },
  };

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
  return g_test_run ();
}
