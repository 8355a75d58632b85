/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "libmp.h"
#include "base/mp-fd-private.h"
#include "channel/mp-ring-layout-private.h"
#include "memory/mp-lender-private.h"
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
  assert_handle_refused (make_handle (self, "'queue'", MP_RING_VERSION + 1, "[0, 1, 2]"),
                         self->fd_list,
                         MP_ERROR_NOT_SUPPORTED);
  assert_handle_refused (make_handle (self, "'ring'", MP_RING_VERSION, "[0, 1, 2]"),
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
    assert_handle_refused (make_handle (self, "'queue'", MP_RING_VERSION, lists[i]),
                           self->fd_list,
                           MP_ERROR_CORRUPT);
  assert_handle_refused (make_handle (self, "'queue'", MP_RING_VERSION, "[0, 1, 2]"),
                         NULL,
                         MP_ERROR_CORRUPT);
  assert_handle_refused (make_handle (self, "'queue'", MP_RING_VERSION, "[0, 1, 2]"),
                         empty,
                         MP_ERROR_CORRUPT);
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
  assert_handle_refused (make_handle (self, "'queue'", MP_RING_VERSION, "[0, 1, 2]"),
                         fd_list,
                         MP_ERROR_CORRUPT);
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
      g_autoptr (GVariant) handle = make_handle (self, "'queue'", MP_RING_VERSION, "[0, 1, 2]");
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

/* Handles as messages, and names */

static int
answer_message (gpointer data)
{
  MpQueue *messages = data;
  g_autoptr (GVariant) handle = mp_queue_get (messages, 20 * G_USEC_PER_SEC, NULL, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpShareable) object = NULL;

  if (handle == NULL)
    return 1;
  object = mp_shareable_new_from_handle (handle, NULL, &error);
  if (object == NULL)
    {
      g_printerr ("%s\n", error->message);
      return 2;
    }
  if (MP_IS_SHARED_MEMORY (object))
    {
      ((guint8 *) mp_shared_memory_get_address (MP_SHARED_MEMORY (object)))[9] = 9;
      return 0;
    }
  return mp_queue_put (MP_QUEUE (object), g_variant_new_string ("hello"), 0, NULL, NULL) ? 0 : 3;
}

static void
test_message (Fixture *self, gconstpointer data)
{
  g_autoptr (MpQueue) messages = mp_queue_new (0, 0, NULL);
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new (10, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) handle = NULL;
  GPid pid = test_fork (answer_message, messages);

  g_test_summary ("A queue and a piece of memory travel as messages through a queue");
  handle = mp_shareable_to_handle (MP_SHAREABLE (self->queue), NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_type_string (handle), ==, "(sua{sv}ah)");
  g_assert_true (mp_queue_put (messages, handle, 0, NULL, NULL));
  value = mp_queue_get (self->queue, 20 * G_USEC_PER_SEC, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (test_join (pid), ==, 0);

  pid = test_fork (answer_message, messages);
  g_clear_pointer (&handle, g_variant_unref);
  handle = mp_shareable_to_handle (MP_SHAREABLE (memory), NULL, &error);
  g_assert_no_error (error);
  g_assert_true (mp_queue_put (messages, handle, 0, NULL, NULL));
  g_assert_cmpint (test_join (pid), ==, 0);
  g_assert_cmpint (((guint8 *) mp_shared_memory_get_address (memory))[9], ==, 9);
}

static void
test_message_few_fds (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  guint n_fds = 0;

  g_test_summary ("However often it is lent, a file costs one descriptor");
  for (int i = 0; i < 1000; i++)
    {
      g_autoptr (GVariant) handle =
        mp_shareable_to_handle (MP_SHAREABLE (self->queue), NULL, &error);
      g_autoptr (MpShareable) other = mp_shareable_new_from_handle (handle, NULL, &error);
      g_autoptr (GVariant) again = NULL;

      g_assert_no_error (error);
      again = mp_shareable_to_handle (other, NULL, &error);
      g_assert_no_error (error);
      g_clear_object (&other);
      if (i == 0)
        n_fds = test_count_fds ();
    }
  g_assert_cmpuint (test_count_fds (), <=, n_fds);
}

static int
answer_lock (gpointer data)
{
  g_autoptr (GVariant) handle = mp_queue_get (data, 20 * G_USEC_PER_SEC, NULL, NULL);
  g_autoptr (MpShareable) lock = mp_shareable_new_from_handle (handle, NULL, NULL);

  return lock != NULL && mp_lock_release (MP_LOCK (lock), NULL) ? 0 : 1;
}

static void
test_message_arena (Fixture *self, gconstpointer data)
{
  g_autoptr (GPtrArray) locks = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GPtrArray) handles = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  g_autoptr (GError) error = NULL;
  guint n_fds;
  GPid pid;

  g_test_summary ("Many small objects of one arena cost one descriptor together");
  mp_lender_purge (TRUE);
  pid = test_fork (answer_lock, self->queue);
  g_ptr_array_add (locks, mp_lock_new (&error));
  g_assert_no_error (error);
  n_fds = test_count_fds ();
  for (guint i = 0; i < 5000; i++)
    {
      if (i > 0)
        g_ptr_array_add (locks, mp_lock_new (&error));
      g_ptr_array_add (handles, mp_shareable_to_handle (locks->pdata[i], NULL, &error));
      g_assert_no_error (error);
    }
  g_assert_cmpuint (test_count_fds (), ==, n_fds + 1);
  g_assert_true (mp_lock_try_acquire (locks->pdata[4321]));
  g_assert_true (mp_queue_put (self->queue, handles->pdata[4321], 0, NULL, NULL));
  g_assert_cmpint (test_join (pid), ==, 0);
  g_assert_true (mp_lock_try_acquire (locks->pdata[4321]));
  g_assert_true (mp_shareable_publish (locks->pdata[0], "lock", &error));
  g_assert_true (mp_shareable_publish (locks->pdata[1], "other lock", &error));
  g_assert_no_error (error);
  /* One for what the registry knows of forks. */
  g_assert_cmpuint (test_count_fds (), <=, n_fds + 2);
  g_assert_true (mp_lock_release (locks->pdata[4321], NULL));
}

static void
test_message_many (Fixture *self, gconstpointer data)
{
  guint n_fds;
  g_autoptr (GVariant) last = NULL;
  g_autoptr (MpShareable) object = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("What was sent can arrive when it was dropped, up to some number");
  mp_lender_purge (TRUE);
  n_fds = test_count_fds ();
  for (int i = 0; i < 1000; i++)
    {
      g_autoptr (MpSharedMemory) memory = mp_shared_memory_new (10, &error);

      g_assert_no_error (error);
      g_clear_pointer (&last, g_variant_unref);
      last = mp_shareable_to_handle (MP_SHAREABLE (memory), NULL, &error);
      g_assert_no_error (error);
    }
  g_assert_cmpuint (test_count_fds (), <=, n_fds + 257);
  object = mp_shareable_new_from_handle (last, NULL, &error);
  g_assert_no_error (error);
  mp_lender_purge (TRUE);
  g_assert_cmpuint (test_count_fds (), ==, n_fds + 1);
  g_clear_object (&object);
  g_assert_null (mp_shareable_new_from_handle (last, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "no longer"));
}

static int
send_and_end (gpointer data)
{
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new (10, NULL);
  g_autoptr (GVariant) handle = mp_shareable_to_handle (MP_SHAREABLE (memory), NULL, NULL);

  return handle != NULL && mp_queue_put (data, handle, 0, NULL, NULL) ? 0 : 1;
}

static void
test_message_gone (Fixture *self, gconstpointer data)
{
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("A handle without descriptors is no good when its sender is gone");
  g_assert_cmpint (test_join (test_fork (send_and_end, self->queue)), ==, 0);
  handle = mp_queue_get (self->queue, 0, NULL, NULL);
  g_assert_null (mp_shareable_new_from_handle (handle, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "is gone"));
}

static void
assert_lender_refused (const char *lender, int code)
{
  g_autofree char *text =
    g_strdup_printf ("('queue', uint32 1, {'lender': <%s>}, [handle 0])", lender);

  assert_refused (text, NULL, code);
}

static void
test_message_forged (Fixture *self, gconstpointer data)
{
  g_autoptr (GVariant) handle = mp_shareable_to_handle (MP_SHAREABLE (self->queue), NULL, NULL);
  g_autoptr (GVariant) layout = g_variant_get_child_value (handle, 2);
  g_autoptr (GVariant) lender = g_variant_lookup_value (layout, "lender", NULL);
  guint64 namespace, pid, start;
  g_autofree char *other_namespace = NULL;
  g_autofree char *other_start = NULL;
  g_autofree char *other_file = NULL;
  g_autofree char *negative = NULL;
  g_autofree char *own_proc = NULL;

  g_test_summary ("Lenders that are not who they say, and do not have what they say");
  g_variant_get (lender, "(ttta(iuttt))", &namespace, &pid, &start, NULL);
  other_namespace = g_strdup_printf ("(uint64 1, uint64 %lu, uint64 %lu, [(0, uint32 0, uint64 1, "
                                     "uint64 1, uint64 1)])",
                                     (gulong) pid,
                                     (gulong) start);
  assert_lender_refused (other_namespace, MP_ERROR_NOT_SUPPORTED);
  other_start = g_strdup_printf ("(uint64 %lu, uint64 %lu, uint64 1, [(0, uint32 0, uint64 1, "
                                 "uint64 1, uint64 1)])",
                                 (gulong) namespace,
                                 (gulong) pid);
  assert_lender_refused (other_start, MP_ERROR_NOT_FOUND);
  other_file = g_strdup_printf ("(uint64 %lu, uint64 %lu, uint64 %lu, [(0, uint32 2, uint64 1, "
                                "uint64 1, uint64 0)])",
                                (gulong) namespace,
                                (gulong) pid,
                                (gulong) start);
  assert_lender_refused (other_file, MP_ERROR_NOT_FOUND);
  negative = g_strdup_printf ("(uint64 %lu, uint64 %lu, uint64 %lu, [(-1, uint32 2, uint64 1, "
                              "uint64 1, uint64 0)])",
                              (gulong) namespace,
                              (gulong) pid,
                              (gulong) start);
  assert_lender_refused (negative, MP_ERROR_NOT_FOUND);
  own_proc = g_strdup_printf ("(uint64 %lu, uint64 0, uint64 %lu, [(0, uint32 2, uint64 1, uint64 "
                              "1, uint64 0)])",
                              (gulong) namespace,
                              (gulong) start);
  assert_lender_refused (own_proc, MP_ERROR_NOT_FOUND);
  assert_refused ("('queue', uint32 1, {'lender': <1>}, [handle 0])", NULL, MP_ERROR_NOT_SUPPORTED);
}

static int
open_published (gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpShareable) queue = mp_shareable_open ("queue", &error);

  if (queue == NULL)
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }
  return mp_queue_put (MP_QUEUE (queue), g_variant_new_int32 (8), 0, NULL, NULL) ? 0 : 2;
}

static void
assert_not_published (const char *name)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_shareable_open (name, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_false (mp_shareable_unpublish (name, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
}

static void
test_publish (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new_named ("queue", 10, NULL);
  g_autoptr (MpShareable) opened = NULL;
  g_autoptr (GVariant) value = NULL;

  g_test_summary ("A published object is opened by its name, while somebody has it");
  /* Of other names, which are no hindrance. */
  g_assert_nonnull (memory);
  g_assert_true (mp_shareable_publish (MP_SHAREABLE (self->queue), "queue", &error));
  g_assert_no_error (error);
  g_assert_false (mp_shareable_publish (MP_SHAREABLE (self->queue), "queue", &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_EXISTS);
  g_clear_error (&error);
  g_assert_false (mp_shareable_publish (MP_SHAREABLE (self->queue), "a/b", &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_true (mp_shareable_publish (MP_SHAREABLE (self->queue), "second", &error));
  g_assert_cmpint (test_join (test_fork (open_published, NULL)), ==, 0);
  value = mp_queue_get (self->queue, 0, NULL, &error);
  g_assert_cmpint (g_variant_get_int32 (value), ==, 8);

  opened = mp_shareable_open ("queue", &error);
  g_assert_no_error (error);
  g_clear_object (&self->queue);
  assert_not_published ("second");
  g_assert_cmpint (test_join (test_fork (open_published, NULL)), ==, 0);
  g_assert_true (mp_shareable_unpublish ("queue", &error));
  assert_not_published ("queue");
  g_assert_true (mp_shareable_publish (opened, "queue", &error));
  g_clear_object (&opened);
  assert_not_published ("queue");
}

static int
publish_and_wait (gpointer data)
{
  int *pipe_fds = data;
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);

  if (!mp_shareable_publish (MP_SHAREABLE (queue), "queue", NULL))
    return 1;
  close (pipe_fds[0]);
  close (pipe_fds[1]);
  for (;;)
    pause ();
}

static void
test_publish_killed (Fixture *self, gconstpointer data)
{
  g_autoptr (MpShareable) opened = NULL;
  g_autoptr (GError) error = NULL;
  int fds[2];
  GPid pid;
  char byte;

  g_test_summary ("Who opened it keeps the name when the one who published it is killed");
  g_assert_no_errno (pipe (fds));
  pid = test_fork (publish_and_wait, fds);
  close (fds[1]);
  g_assert_cmpint (read (fds[0], &byte, 1), ==, 0);
  close (fds[0]);
  opened = mp_shareable_open ("queue", &error);
  g_assert_no_error (error);
  test_kill (pid);
  g_assert_cmpint (test_join (test_fork (open_published, NULL)), ==, 0);
  g_clear_object (&opened);
  assert_not_published ("queue");
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *path;
    void (*test) (Fixture *self, gconstpointer data);
  } tests[] = {
    { "/mp/shareable/same", test_same },
    { "/mp/shareable/outlives", test_outlives },
    { "/mp/shareable/socket", test_socket },
    { "/mp/shareable/shape", test_shape },
    { "/mp/shareable/numbers", test_numbers },
    { "/mp/shareable/memory", test_memory },
    { "/mp/shareable/fuzz", test_fuzz },
    { "/mp/shareable/leaks", test_leaks },
    { "/mp/shareable/message", test_message },
    { "/mp/shareable/message-few-fds", test_message_few_fds },
    { "/mp/shareable/message-arena", test_message_arena },
    { "/mp/shareable/message-many", test_message_many },
    { "/mp/shareable/message-gone", test_message_gone },
    { "/mp/shareable/message-forged", test_message_forged },
    { "/mp/shareable/publish", test_publish },
    { "/mp/shareable/publish-killed", test_publish_killed },
  };
  g_autofree char *folder = g_dir_make_tmp ("mp-XXXXXX", NULL);
  int result;

  g_test_init (&argc, &argv, NULL);
  g_setenv ("XDG_RUNTIME_DIR", folder, TRUE);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
  result = g_test_run ();
  test_remove_tree (folder);
  return result;
}
