/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Handles of each kind whose descriptors are anything: memory that was honest
 * and is changed here and there, cut off, sealed otherwise, or never was any. */

#include "fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../libmp/base/mp-fd-private.h"
#include "../../libmp/base/mp-namespace-private.h"
#include "../../libmp/libmp.h"
#include "../../libmp/memory/mp-arena-layout-private.h"
#include "../../libmp/memory/mp-shareable-private.h"

#define MAX_OPERATIONS 24
#define MAX_FILE (16 * 1024 * 1024)
#define MAX_FDS 5

const char *const fuzz_name = "fuzz-segment";

/* Something honest: its handle, and what is in the file of each descriptor. */
typedef struct
{
  GVariant *handle;
  guint n_fds;
  GBytes *files[MAX_FDS]; /* NULL: an eventfd, or */
  gboolean sockets[MAX_FDS];
} Template;

static GPtrArray *templates;
static Template *carrying; /* a queue that carries descriptors */

/* --- Honest ones ------------------------------------------------------------ */

static GBytes *
read_file (int fd)
{
  struct stat status;
  guint8 *data;

  if (fcntl (fd, F_GET_SEALS) < 0 || fstat (fd, &status) != 0)
    return NULL;
  data = g_malloc ((gsize) status.st_size);
  if (pread (fd, data, (size_t) status.st_size, 0) != status.st_size)
    g_error ("A template cannot be read");
  return g_bytes_new_take (data, (gsize) status.st_size);
}

static gboolean
is_socket (int fd)
{
  struct stat status;

  return fstat (fd, &status) == 0 && S_ISSOCK (status.st_mode);
}

static Template *
make_template (gpointer object)
{
  Template *template = g_new0 (Template, 1);
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  const int *fds;
  int n;

  template->handle = mp_shareable_to_handle (object, fd_list, NULL);
  fds = g_unix_fd_list_peek_fds (fd_list, &n);
  template->n_fds = (guint) MIN (n, MAX_FDS);
  for (guint i = 0; i < template->n_fds; i++)
    {
      template->files[i] = read_file (fds[i]);
      template->sockets[i] = is_socket (fds[i]);
    }
  return template;
}

static void
add_template (gpointer object)
{
  g_ptr_array_add (templates, make_template (object));
}

static void
add_and_drop (gpointer object)
{
  add_template (object);
  g_object_unref (object);
}

static void
fill_queue (MpQueue *queue)
{
  for (int i = 0; i < 5; i++)
    mp_queue_put (queue, g_variant_new_int32 (i), 0, NULL, NULL);
}

static void
end_lingers (void)
{
  g_autoptr (MpArena) arena = mp_arena_ref_default (NULL);

  pthread_mutex_lock (&arena->mutex);
  while (arena->linger_ref)
    {
      for (gsize i = arena->linger_begin; i < arena->linger_end; i++)
        arena->lingers[i].until = 0;
      mp_arena_work_off_lingers (arena);
    }
  pthread_mutex_unlock (&arena->mutex);
}

/* The objects are there together, so that each file has all of them in it. */
void
fuzz_setup (void)
{
  static const char items[] = "[<'text'>, <1>, <true>, <2.5>, <b'bytes'>]";
  g_autoptr (GPtrArray) objects = g_ptr_array_new_with_free_func (g_object_unref);
  MpQueue *queues[] = { mp_queue_new (0, 0, NULL), mp_queue_new (10, 4096, NULL) };
  MpLock *lock = mp_lock_new (NULL);
  MpRLock *rlock = mp_rlock_new (NULL);

  templates = g_ptr_array_new ();
  g_ptr_array_add (objects, lock);
  g_ptr_array_add (objects, rlock);
  g_ptr_array_add (objects, mp_semaphore_new (2, MP_SEMAPHORE_NONE, NULL));
  g_ptr_array_add (objects, mp_semaphore_new (2, MP_SEMAPHORE_RECOVER, NULL));
  g_ptr_array_add (objects, mp_condition_new (lock, NULL));
  g_ptr_array_add (objects, mp_condition_new_with_rlock (rlock, NULL));
  g_ptr_array_add (objects, mp_event_new (NULL));
  g_ptr_array_add (objects, mp_barrier_new (2, NULL));
  g_ptr_array_add (objects, mp_value_new (MP_VALUE_TYPE_INT32, NULL, TRUE, NULL));
  g_ptr_array_add (objects, mp_array_new (MP_VALUE_TYPE_FLOAT, 10, FALSE, NULL));
  for (guint i = 0; i < objects->len; i++)
    add_template (g_ptr_array_index (objects, i));
  for (guint i = 0; i < G_N_ELEMENTS (queues); i++)
    {
      fill_queue (queues[i]);
      add_and_drop (queues[i]);
    }
  queues[0] = mp_queue_new_carrying_fds (0, 0, NULL);
  fill_queue (queues[0]);
  carrying = make_template (queues[0]);
  g_object_unref (queues[0]);
  add_and_drop (mp_shared_memory_new (5000, NULL));
  add_and_drop (mp_shareable_list_new (g_variant_new_parsed (items), NULL));
  g_ptr_array_set_size (objects, 0);
  end_lingers ();
  mp_arena_drop_default ();
}

/* --- Files ------------------------------------------------------------------ */

static gint64
choose_size (FuzzInput *input, gint64 size)
{
  switch (fuzz_choose (input, 8))
    {
    case 0:
      return fuzz_u8 (input);
    case 1:
      return fuzz_u32 (input) % MAX_FILE;
    case 2:
      return size - fuzz_u8 (input);
    case 3:
      return size / 4096 * 4096;
    default:
      return size + fuzz_u16 (input);
    }
}

/* As it is, but for some words; the header more often. */
static void
change_file (FuzzInput *input, int fd, gint64 size)
{
  guint n = fuzz_choose (input, 8);

  for (guint i = 0; i < n; i++)
    {
      guint8 how = fuzz_u8 (input);
      gint64 place = (how & 1) != 0 ? fuzz_u8 (input) : fuzz_u32 (input) % MAX (size, 1);
      guint64 word = (how & 2) != 0 ? fuzz_u8 (input) : fuzz_u64 (input);
      const guint8 *bytes = (gpointer) &word;
      gsize length = (how & 4) != 0 ? 4 : 8;

      if ((how & 8) != 0)
        word = ~word;
      if ((how & 16) != 0)
        bytes = fuzz_bytes (input, how >> 3, &length);
      if (pwrite (fd, bytes, length, place) < 0)
        fuzz_fail ("a write failed");
    }
}

/* A descriptor of the kind that is asked for, more or less; -1: none. */
static int
make_file (FuzzInput *input, GBytes *content)
{
  static const int all_seals[] = { F_SEAL_SHRINK,
                                   F_SEAL_GROW,
                                   F_SEAL_WRITE,
                                   F_SEAL_FUTURE_WRITE,
                                   F_SEAL_SEAL };
  guint8 how = fuzz_u8 (input), seals = fuzz_u8 (input);
  gint64 size = content != NULL ? (gint64) g_bytes_get_size (content) : 0;
  char path[32];
  int fd, reopened;

  if (how == 0xff || content == NULL)
    return how >= 0xfe ? open ("/dev/null", O_RDWR | O_CLOEXEC) : eventfd (0, EFD_CLOEXEC);
  fd = memfd_create ("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || pwrite (fd, g_bytes_get_data (content, NULL), (size_t) size, 0) != size)
    g_error ("No file");
  if ((how & 1) != 0)
    change_file (input, fd, size);
  if ((how & 2) != 0 && ftruncate (fd, MAX (choose_size (input, size), 0)) != 0)
    g_error ("No size");
  if ((how & 4) == 0)
    seals = 0x11;
  for (guint i = 0; i < G_N_ELEMENTS (all_seals); i++)
    {
      if ((seals & 1 << i) != 0)
        fcntl (fd, F_ADD_SEALS, all_seals[i]);
    }
  if ((how & 0x18) != 0x18)
    return fd;
  g_snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  reopened = open (path, ((how & 0x20) != 0 ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  close (fd);
  return reopened;
}

/* The other end of the last one is the next one. */
static int other_end = -1;

static int
make_socket (FuzzInput *input)
{
  int sockets[2];

  if (other_end >= 0)
    return g_steal_fd (&other_end);
  if (socketpair (AF_UNIX,
                  (fuzz_u8 (input) < 0xf0 ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC,
                  0,
                  sockets) != 0)
    g_error ("No sockets");
  other_end = sockets[1];
  return sockets[0];
}

static GUnixFDList *
make_files (FuzzInput *input, const Template *template)
{
  GUnixFDList *fd_list = g_unix_fd_list_new ();
  guint8 how = fuzz_u8 (input);
  guint n_fds = (how & 3) == 3 ? (how >> 2) % (MAX_FDS + 1) : template->n_fds;

  for (guint i = 0; i < n_fds; i++)
    {
      guint which = (how & 0x40) != 0 ? 0 : i;
      int fd =
        template->sockets[which] ? make_socket (input) : make_file (input, template->files[which]);

      if (fd < 0)
        continue;
      g_unix_fd_list_append (fd_list, fd, NULL);
      close (fd);
    }
  return fd_list;
}

/* --- Handles ---------------------------------------------------------------- */

static GVariant *change_handle (FuzzInput *input, GVariant *handle, guint depth);

static GVariant *
make_value (FuzzInput *input, GVariant *was, guint depth)
{
  switch (fuzz_choose (input, 10))
    {
    case 0:
      return g_variant_new_uint32 (fuzz_u8 (input));
    case 1:
      return g_variant_new_uint32 (fuzz_u32 (input));
    case 2:
      return g_variant_new_uint64 (fuzz_u8 (input));
    case 3:
      return g_variant_new_uint64 (fuzz_u64 (input));
    case 4:
      return g_variant_new ("(tt)", fuzz_u64 (input), fuzz_u64 (input));
    case 5:
      return g_variant_new_string ((fuzz_u8 (input) & 1) != 0 ? "../name" : "name");
    case 6:
      return g_variant_new_handle (fuzz_u8 (input));
    case 7:
      return g_variant_new_boolean (TRUE);
    default:
      return g_variant_is_of_type (was, G_VARIANT_TYPE (MP_HANDLE_TYPE)) && depth < 3
               ? change_handle (input, was, depth + 1)
               : was;
    }
}

static GVariant *
change_layout (FuzzInput *input, GVariant *layout, guint depth)
{
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (layout);
  GVariantIter iter;
  const char *key;
  GVariant *value;

  g_variant_iter_init (&iter, layout);
  while (g_variant_iter_next (&iter, "{&sv}", &key, &value))
    {
      switch (fuzz_choose (input, 4))
        {
        case 0:
          g_variant_dict_remove (&dict, key);
          break;
        case 1:
          g_variant_dict_insert_value (&dict, key, make_value (input, value, depth));
          break;
        default:
          break;
        }
      g_variant_unref (value);
    }
  if (fuzz_choose (input, 4) == 3)
    g_variant_dict_insert (&dict, "name", "s", "a-name");
  return g_variant_dict_end (&dict);
}

static GVariant *
change_indexes (FuzzInput *input)
{
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("ah"));
  guint n = fuzz_choose (input, 6);

  for (guint i = 0; i < n; i++)
    g_variant_builder_add (&builder, "h", (gint32) (gint8) fuzz_u8 (input));
  return g_variant_builder_end (&builder);
}

static GVariant *
change_handle (FuzzInput *input, GVariant *handle, guint depth)
{
  static const char *const kinds[] = { "lock",    "rlock",  "semaphore", "condition", "event",
                                       "barrier", "value",  "array",     "queue",     "ring",
                                       "pool",    "memory", "list",      "",          "nothing" };
  g_autoptr (GVariant) layout = g_variant_get_child_value (handle, 2);
  g_autoptr (GVariant) indexes = g_variant_get_child_value (handle, 3);
  guint8 how = fuzz_u8 (input);
  const char *kind = NULL;
  guint32 version;

  g_variant_get (handle, "(&su@a{sv}@ah)", &kind, &version, NULL, NULL);
  if ((how & 0x30) == 0x30)
    kind = kinds[fuzz_choose (input, G_N_ELEMENTS (kinds))];
  if ((how & 0xc0) == 0xc0)
    version = fuzz_u8 (input);
  return g_variant_new ("(su@a{sv}@ah)",
                        kind,
                        version,
                        (how & 1) != 0 ? change_layout (input, layout, depth) : layout,
                        (how & 2) != 0 ? change_indexes (input) : indexes);
}

/* --- What is done with what comes out --------------------------------------- */

static void
use_queue (FuzzInput *input, MpQueue *queue)
{
  g_autoptr (GUnixFDList) fd_list = NULL;
  GError *error = NULL;
  GVariant **values;
  gsize n = 0;
  guint8 how = fuzz_u8 (input);

  switch (how < 0xf8 ? how % 4 : how)
    {
    case 0xf8:
    case 0xf9:
    case 0xfa:
      fd_list = g_unix_fd_list_new ();
      g_unix_fd_list_append (fd_list, 0, NULL);
      mp_queue_put_with_fds (queue, g_variant_new_int32 (1), fd_list, 1, NULL, &error);
      break;
    case 0xfb:
    case 0xfc:
      fuzz_consume_variant (mp_queue_get_with_fds (queue, 1, &fd_list, NULL, &error));
      break;
    case 0:
      mp_queue_put (queue, g_variant_new_string ("a few words"), 1, NULL, &error);
      break;
    case 1:
      fuzz_consume_variant (mp_queue_get (queue, 1, NULL, &error));
      break;
    case 2:
      values = mp_queue_get_many (queue, 10, 1, &n, NULL, &error);
      for (gsize i = 0; i < n; i++)
        fuzz_consume_variant (values[i]);
      g_free (values);
      break;
    default:
      mp_queue_close (queue);
      break;
    }
  fuzz_check_error (error);
}

static void
use_list (FuzzInput *input, MpShareableList *list)
{
  gint64 index = (gint8) fuzz_u8 (input);
  g_autoptr (GVariant) value = g_variant_ref_sink (g_variant_new_string ("word"));
  GError *error = NULL;

  switch (fuzz_choose (input, 4))
    {
    case 0:
      fuzz_consume_variant (mp_shareable_list_get_item (list, index, &error));
      break;
    case 1:
      mp_shareable_list_set_item (list, index, value, &error);
      break;
    case 2:
      mp_shareable_list_count (list, value, &error);
      break;
    default:
      mp_shareable_list_index (list, value, &error);
      break;
    }
  fuzz_check_error (error);
}

static void
use_memory (MpSharedMemory *memory)
{
  g_autoptr (GBytes) bytes = mp_shared_memory_get_bytes (memory);
  gsize length;
  const guint8 *data = g_bytes_get_data (bytes, &length);
  volatile guint sum = 0;

  if (length > 0)
    sum += data[0] + data[length - 1];
  if (length > 0 && !mp_shared_memory_get_read_only (memory))
    *((guint8 *) mp_shared_memory_get_address (memory) + length - 1) = (guint8) sum;
}

static void
use_numbers (GObject *object)
{
  GError *error = NULL;

  if (MP_IS_VALUE (object))
    fuzz_consume_variant (mp_value_get (MP_VALUE (object)));
  else
    fuzz_consume_variant (mp_array_read (MP_ARRAY (object),
                                         0,
                                         MIN (mp_array_get_length (MP_ARRAY (object)), 1000),
                                         &error));
  fuzz_check_error (error);
}

static void
use_condition (FuzzInput *input, MpCondition *condition)
{
  MpLock *lock = mp_condition_get_lock (condition);
  MpRLock *rlock = mp_condition_get_rlock (condition);
  GError *error = NULL;

  if (lock != NULL ? mp_lock_try_acquire (lock) : mp_rlock_try_acquire (rlock))
    {
      if (fuzz_choose (input, 2) == 0)
        mp_condition_wait (condition, 1, NULL, &error);
      else
        mp_condition_notify_many (condition, fuzz_u8 (input), &error);
      if (lock != NULL)
        mp_lock_release (lock, NULL);
      else
        mp_rlock_release (rlock, NULL);
    }
  fuzz_check_error (error);
}

static void
use_sync (FuzzInput *input, GObject *object)
{
  GError *error = NULL;
  gboolean begin = fuzz_choose (input, 2) == 0;
  guint index;

  if (MP_IS_LOCK (object))
    begin ? mp_lock_acquire (MP_LOCK (object), 1, NULL, &error)
          : mp_lock_release (MP_LOCK (object), &error);
  else if (MP_IS_RLOCK (object))
    begin ? mp_rlock_acquire (MP_RLOCK (object), 1, NULL, &error)
          : mp_rlock_release (MP_RLOCK (object), &error);
  else if (MP_IS_SEMAPHORE (object))
    begin ? mp_semaphore_acquire (MP_SEMAPHORE (object), 1, NULL, &error)
          : mp_semaphore_release (MP_SEMAPHORE (object), 1, &error);
  else if (MP_IS_EVENT (object) && begin)
    mp_event_wait (MP_EVENT (object), 1, NULL, &error);
  else if (MP_IS_EVENT (object))
    mp_event_set (MP_EVENT (object));
  else if (MP_IS_BARRIER (object) && begin)
    mp_barrier_wait (MP_BARRIER (object), 1, NULL, &index, &error);
  else if (MP_IS_BARRIER (object))
    mp_barrier_reset (MP_BARRIER (object));
  fuzz_check_error (error);
}

static void
use (FuzzInput *input, GObject *object)
{
  g_autofree char *text = NULL;

  fuzz_operation (G_OBJECT_TYPE_NAME (object), 1);
  switch (fuzz_choose (input, 4))
    {
    case 0:
      fuzz_read_properties (object);
      return;
    case 1:
      text = mp_sync_dump ();
      mp_arena_sweep_all ();
      return;
    default:
      break;
    }
  if (MP_IS_QUEUE (object))
    use_queue (input, MP_QUEUE (object));
  else if (MP_IS_SHAREABLE_LIST (object))
    use_list (input, MP_SHAREABLE_LIST (object));
  else if (MP_IS_SHARED_MEMORY (object))
    use_memory (MP_SHARED_MEMORY (object));
  else if (MP_IS_VALUE (object) || MP_IS_ARRAY (object))
    use_numbers (object);
  else if (MP_IS_CONDITION (object))
    use_condition (input, MP_CONDITION (object));
  else
    use_sync (input, object);
}

void
fuzz_run (FuzzInput *input)
{
  guint8 which = fuzz_u8 (input);
  /* Apart from the others, so that these stay where they were. */
  const Template *template =
    which >= 0xf0 ? carrying : g_ptr_array_index (templates, which % templates->len);
  g_autoptr (GUnixFDList) fd_list = make_files (input, template);
  g_auto (MpFd) unused G_GNUC_UNUSED = g_steal_fd (&other_end);
  g_autoptr (GVariant) handle = g_variant_ref_sink (change_handle (input, template->handle, 0));
  g_autoptr (GObject) object = NULL;
  GError *error = NULL;

  fuzz_begin (input, NULL);
  fuzz_may_stall (FUZZ_ANY_MICRO_LOCK, FUTEX_OWNER_DIED);
  fuzz_operation ("importing", 0);
  object = (GObject *) mp_shareable_new_from_handle (handle, fd_list, &error);
  if ((object == NULL) != (error != NULL))
    fuzz_fail ("neither an object nor an error");
  fuzz_check_error (error);
  for (guint i = 0; i < MAX_OPERATIONS && object != NULL && fuzz_has_more (input); i++)
    use (input, object);
  fuzz_operation ("dropping it", 0);
  g_clear_object (&object);
  if (mp_arena_is_any ())
    fuzz_fail ("an arena is left");
  fuzz_forget_stalls ();
  fuzz_end ();
}
