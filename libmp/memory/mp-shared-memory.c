/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-shared-memory-private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mp-available-private.h"
#include "mp-error-private.h"
#include "mp-fd-private.h"
#include "mp-handle-private.h"
#include "mp-namespace-private.h"
#include "mp-registry-private.h"
#include "mp-segment-private.h"
#include "mp-shareable-private.h"

#define KIND_NAME "memory"
#define HANDLE_VERSION 1

#define KIND MP_SEGMENT_KIND ('d', 'a', 't', 'a')
#define VERSION 1
/* Where the data begin, how long they are, and what they are for. */
#define PARAMETER_OFFSET 0
#define PARAMETER_SIZE 1
#define PARAMETER_KIND 2
#define PARAMETER_VERSION 3

/**
 * MpSharedMemory:
 *
 * A piece of memory that several processes see.
 *
 * It is as long as it was made, and filled with zeroes at first. Its pages are
 * taken when it is made, so that writing there cannot fail later. It reaches
 * another process as a [iface@Mp.Shareable], or by a name, and exists until
 * nobody has it any more: when its last user is gone, even killed, nothing is
 * left.
 *
 * Nothing orders what processes do there. Use a lock, or atomic operations.
 *
 * # Names
 *
 * A name that was given by [ctor@Mp.SharedMemory.new_named] resolves while
 * any process has an object of this memory, whoever made it; a child of fork() that
 * inherited one counts as well. It is seen by processes of the same user in the
 * same process id namespace; [iface@Mp.Shareable] says where names are kept. After
 * [method@Mp.SharedMemory.unlink] the name is free, and those who have the memory
 * keep it. [method@Mp.SharedMemory.keep] lets a process hold the name without an
 * object.
 *
 * A process that closes descriptors which are not its own loses the name, not the
 * memory.
 *
 * # Read-only views
 *
 * [ctor@Mp.SharedMemory.new_view] makes an object that cannot write, and whose
 * handles give others memory in which they cannot write. That guards against
 * mistakes, not against malice: a process of the same user can open the file behind
 * it again, for writing.
 *
 * # Threads
 *
 * All functions can be called from any thread.
 *
 * Since: 0.1
 */

/* Lives as long as the object and all GBytes of it. */
typedef struct
{
  gatomicrefcount ref_count;
  guint8 *data;
  gsize size;
} Mapping;

struct _MpSharedMemory
{
  GObject parent_instance;

  char *name;
  gsize size;
  MpSegment segment;
  Mapping *mapping;
  MpRegistryHold *hold; /* NULL: has no name, or is not known to have one */
};

enum
{
  PROP_0,
  PROP_NAME,
  PROP_SIZE,
  PROP_READ_ONLY,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void mp_shared_memory_initable_iface_init (GInitableIface *iface);
static void mp_shared_memory_shareable_iface_init (MpShareableInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpSharedMemory,
                               mp_shared_memory,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE,
                                                      mp_shared_memory_initable_iface_init)
                                 G_IMPLEMENT_INTERFACE (MP_TYPE_SHAREABLE,
                                                        mp_shared_memory_shareable_iface_init))

#define MP_IS_READY_SHARED_MEMORY(self) (MP_IS_SHARED_MEMORY (self) && (self)->mapping != NULL)

static void
mapping_unref (gpointer data)
{
  Mapping *self = data;

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  munmap (self->data, self->size);
  g_free (self);
}

static void
mp_shared_memory_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpSharedMemory *self = MP_SHARED_MEMORY (object);

  switch (prop_id)
    {
    case PROP_NAME:
      g_value_set_string (value, self->name);
      break;
    case PROP_SIZE:
      g_value_set_uint64 (value, self->size);
      break;
    case PROP_READ_ONLY:
      g_value_set_boolean (value, self->segment.read_only);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_shared_memory_set_property (GObject *object,
                               guint prop_id,
                               const GValue *value,
                               GParamSpec *pspec)
{
  MpSharedMemory *self = MP_SHARED_MEMORY (object);

  switch (prop_id)
    {
    case PROP_NAME:
      self->name = g_value_dup_string (value);
      break;
    case PROP_SIZE:
      self->size = (gsize) MIN (g_value_get_uint64 (value), G_MAXSIZE);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_shared_memory_finalize (GObject *object)
{
  MpSharedMemory *self = MP_SHARED_MEMORY (object);

  mp_segment_clear (&self->segment);
  g_clear_pointer (&self->hold, mp_registry_hold_unref);
  g_clear_pointer (&self->mapping, mapping_unref);
  g_free (self->name);
  G_OBJECT_CLASS (mp_shared_memory_parent_class)->finalize (object);
}

static void
mp_shared_memory_class_init (MpSharedMemoryClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = mp_shared_memory_get_property;
  object_class->set_property = mp_shared_memory_set_property;
  object_class->finalize = mp_shared_memory_finalize;

  /**
   * MpSharedMemory:name: (getter get_name)
   *
   * The name that it was made with or opened by, or `NULL`. It stays when the name
   * was unlinked.
   *
   * Since: 0.1
   */
  properties[PROP_NAME] =
    g_param_spec_string ("name",
                         NULL,
                         NULL,
                         NULL,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * MpSharedMemory:size: (getter get_size)
   *
   * How many bytes it has.
   *
   * Since: 0.1
   */
  properties[PROP_SIZE] =
    g_param_spec_uint64 ("size",
                         NULL,
                         NULL,
                         0,
                         G_MAXUINT64,
                         0,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * MpSharedMemory:read-only: (getter get_read_only)
   *
   * Whether it can only be read through this object.
   *
   * Since: 0.1
   */
  properties[PROP_READ_ONLY] = g_param_spec_boolean ("read-only",
                                                     NULL,
                                                     NULL,
                                                     FALSE,
                                                     G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_shared_memory_init (MpSharedMemory *self)
{
  self->segment.fd = -1;
}

/* Making it */

static gboolean
map_data (MpSharedMemory *self, guint64 offset, GError **error)
{
  guint8 *data = mp_segment_map (&self->segment, offset, self->size);

  if (data == NULL)
    return mp_set_error_from_errno (error, errno, "Mapping shared memory");
  self->mapping = g_new (Mapping, 1);
  g_atomic_ref_count_init (&self->mapping->ref_count);
  self->mapping->data = data;
  self->mapping->size = self->size;
  return TRUE;
}

static gboolean
set_no_memory (gsize size, const char *why, GError **error)
{
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_LIMIT,
               "Making shared memory of %" G_GSIZE_FORMAT " bytes: %s",
               size,
               why);
  return FALSE;
}

static gboolean
create_segment (MpSharedMemory *self, guint32 kind, guint32 version, GError **error)
{
  gsize page = mp_segment_get_page_size ();
  guint64 parameters[MP_SEGMENT_N_PARAMETERS] = {
    [PARAMETER_OFFSET] = page,
    [PARAMETER_SIZE] = self->size,
    [PARAMETER_KIND] = kind,
    [PARAMETER_VERSION] = version,
  };

  if (self->size > G_MAXSSIZE - page)
    return set_no_memory (self->size, "that is more than a file can have", error);
  /* Where the system would rather kill a process than say no. */
  if (!mp_available_is_enough (self->size))
    return set_no_memory (self->size, "that is more memory than there is", error);
  if (!mp_segment_create (&self->segment,
                          self->name != NULL ? self->name : "mp-memory",
                          KIND,
                          VERSION,
                          page + self->size,
                          FALSE,
                          parameters,
                          error))
    return FALSE;
  if (!mp_segment_allocate (&self->segment, page, self->size))
    return set_no_memory (self->size, g_strerror (errno), error);
  return map_data (self, page, error);
}

static GVariant *
make_handle (MpSharedMemory *self, const char *handle_kind, gint32 index)
{
  g_auto (GVariantBuilder) layout = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);
  GVariant *place = g_variant_new_handle (index);

  g_variant_builder_add (&layout, "{sv}", "pidns", g_variant_new_uint64 (mp_get_pid_namespace ()));
  if (self->name != NULL)
    g_variant_builder_add (&layout, "{sv}", "name", g_variant_new_string (self->name));
  if (self->hold != NULL)
    g_variant_builder_add (&layout,
                           "{sv}",
                           "name-id",
                           g_variant_new_uint64 (mp_registry_hold_get_id (self->hold)));
  return g_variant_ref_sink (g_variant_new ("(su@a{sv}@ah)",
                                            handle_kind,
                                            HANDLE_VERSION,
                                            g_variant_builder_end (&layout),
                                            g_variant_new_array (NULL, &place, 1)));
}

static gboolean
take_name (MpSharedMemory *self, GError **error)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;

  if (g_unix_fd_list_append (fd_list, self->segment.fd, NULL) < 0)
    return set_no_memory (self->size, g_strerror (EMFILE), error);
  handle = make_handle (self, KIND_NAME, 0);
  self->hold = mp_registry_create (MP_REGISTRY_MEMORY, self->name, handle, fd_list, error);
  return self->hold != NULL;
}

typedef struct
{
  guint32 kind;
  guint32 version;
  MpSharedMemoryFill fill;
  gpointer user_data;
} Purpose;

static gboolean
build (MpSharedMemory *self, const Purpose *purpose, GError **error)
{
  if (self->size == 0)
    return mp_set_error_from_errno (error, EINVAL, "Making shared memory of 0 bytes");
  if (self->name != NULL && !mp_registry_check_free (MP_REGISTRY_MEMORY, self->name, error))
    return FALSE;
  if (create_segment (self, purpose->kind, purpose->version, error))
    {
      if (purpose->fill != NULL)
        purpose->fill (self->mapping->data, self->size, purpose->user_data);
      if (self->name == NULL || take_name (self, error))
        return TRUE;
    }
  g_clear_pointer (&self->mapping, mapping_unref);
  mp_segment_clear (&self->segment);
  return FALSE;
}

static gboolean
mp_shared_memory_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  MpSharedMemory *self = MP_SHARED_MEMORY (initable);

  return self->mapping != NULL || build (self, &(Purpose){ 0 }, error);
}

static void
mp_shared_memory_initable_iface_init (GInitableIface *iface)
{
  iface->init = mp_shared_memory_initable_init;
}

MpSharedMemory *
mp_shared_memory_new_for (const char *name,
                          gsize size,
                          guint32 kind,
                          guint32 version,
                          MpSharedMemoryFill fill,
                          gpointer user_data,
                          GError **error)
{
  const Purpose purpose = { kind, version, fill, user_data };
  g_autoptr (MpSharedMemory) self =
    g_object_new (MP_TYPE_SHARED_MEMORY, "name", name, "size", (guint64) size, NULL);

  return build (self, &purpose, error) ? g_steal_pointer (&self) : NULL;
}

guint32
mp_shared_memory_get_kind (MpSharedMemory *self, guint32 *version)
{
  *version = (guint32) self->segment.header.parameters[PARAMETER_VERSION];
  return (guint32) self->segment.header.parameters[PARAMETER_KIND];
}

/**
 * mp_shared_memory_new:
 * @size: how many bytes it is to have, not 0
 * @error: return location for an error
 *
 * Makes memory without a name.
 *
 * Returns: (transfer full) (nullable): the memory, or `NULL` with @error set:
 *   [error@Mp.Error.LIMIT] if there is not so much memory or no file descriptor
 *   left, [error@Mp.Error.INVALID_ARGUMENT] if @size is 0
 *
 * Since: 0.1
 */
MpSharedMemory *
mp_shared_memory_new (gsize size, GError **error)
{
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return mp_shared_memory_new_for (NULL, size, 0, 0, NULL, NULL, error);
}

/**
 * mp_shared_memory_new_named:
 * @name: the name: not empty, without slashes, at most 200 bytes, neither `.` nor `..`
 * @size: how many bytes it is to have, not 0
 * @error: return location for an error
 *
 * Makes memory that other processes of this user can open by @name.
 *
 * Returns: (transfer full) (nullable): the memory, or `NULL` with @error set:
 *   [error@Mp.Error.EXISTS] if there is memory of that name,
 *   [error@Mp.Error.INVALID_ARGUMENT] if @name cannot be a name or @size is 0,
 *   [error@Mp.Error.BUSY] if a process stands still in the middle of changing
 *   the name, [error@Mp.Error.LIMIT] if there is not so much memory, no room for
 *   the name or no file descriptor left, [error@Mp.Error.FAILED] if the folder
 *   of names cannot be used, [error@Mp.Error.CORRUPT] if what is there under
 *   that name was not made by libmp
 *
 * Since: 0.1
 */
MpSharedMemory *
mp_shared_memory_new_named (const char *name, gsize size, GError **error)
{
  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return mp_shared_memory_new_for (name, size, 0, 0, NULL, NULL, error);
}

/* Handles */

/* Sets everything up from @fd, which may have come from anybody. */
static MpSharedMemory *
new_from_fd (const char *name, int fd, GError **error)
{
  g_autoptr (MpSharedMemory) self = NULL;
  g_auto (MpSegment) segment = MP_SEGMENT_INIT;
  guint64 offset, size;

  if (!mp_segment_attach_any (&segment, fd, KIND, VERSION, error))
    return NULL;
  offset = segment.header.parameters[PARAMETER_OFFSET];
  size = segment.header.parameters[PARAMETER_SIZE];
  if (offset % mp_segment_get_page_size () != 0 || offset < sizeof (MpSegmentHeader) || size == 0 ||
      offset > segment.header.size || size != segment.header.size - offset || size > G_MAXSSIZE)
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_CORRUPT,
                           "The header of shared memory is corrupt");
      return NULL;
    }
  self = g_object_new (MP_TYPE_SHARED_MEMORY, "name", name, "size", size, NULL);
  self->segment = segment;
  segment.fd = -1;
  return map_data (self, offset, error) ? g_steal_pointer (&self) : NULL;
}

static MpSharedMemory *
import_without_name (GVariant *handle, const char *name, GUnixFDList *fd_list, GError **error)
{
  g_auto (MpFd) fd = mp_handle_take_fd (handle, fd_list, "shared memory", error);

  return fd < 0 ? NULL : new_from_fd (name, fd, error);
}

/* Takes part in holding the name, if it is still there. A view cannot: whoever
 * looks the name up would get no more than it has. */
static void
join_name (MpSharedMemory *self, guint64 id)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();

  if (!self->segment.read_only && g_unix_fd_list_append (fd_list, self->segment.fd, NULL) >= 0)
    self->hold = mp_registry_join (MP_REGISTRY_MEMORY, self->name, id, fd_list);
}

MpSharedMemory *
mp_shared_memory_import (GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  g_autoptr (GVariant) layout = mp_handle_check (handle, NULL, HANDLE_VERSION, error);
  g_autofree char *name = NULL;
  MpSharedMemory *self;
  guint64 id = 0;

  if (layout == NULL)
    return NULL;
  if (g_variant_lookup (layout, "name", "s", &name) && !mp_registry_check_name (name, NULL))
    g_clear_pointer (&name, g_free);
  self = import_without_name (handle, name, fd_list, error);
  if (self != NULL && name != NULL && g_variant_lookup (layout, "name-id", "t", &id))
    join_name (self, id);
  return self;
}

__attribute__ ((constructor)) static void
register_kind (void)
{
  mp_shareable_register_kind (KIND_NAME, (MpShareableImport) mp_shared_memory_import);
}

GVariant *
mp_shared_memory_to_handle_of_kind (MpSharedMemory *self,
                                    const char *handle_kind,
                                    GUnixFDList *fd_list,
                                    GError **error)
{
  g_autoptr (GError) local_error = NULL;
  gint32 index = g_unix_fd_list_append (fd_list, self->segment.fd, &local_error);

  if (index >= 0)
    return make_handle (self, handle_kind, index);
  g_set_error (error, MP_ERROR, MP_ERROR_LIMIT, "Making a handle: %s", local_error->message);
  return NULL;
}

static GVariant *
mp_shared_memory_to_handle (MpShareable *shareable, GUnixFDList *fd_list, GError **error)
{
  MpSharedMemory *self = MP_SHARED_MEMORY (shareable);

  g_return_val_if_fail (MP_IS_READY_SHARED_MEMORY (self), NULL);
  return mp_shared_memory_to_handle_of_kind (self, KIND_NAME, fd_list, error);
}

static void
mp_shared_memory_shareable_iface_init (MpShareableInterface *iface)
{
  iface->to_handle = mp_shared_memory_to_handle;
}

/**
 * mp_shared_memory_open:
 * @name: a name
 * @error: return location for an error
 *
 * Opens the memory of that name.
 *
 * Returns: (transfer full) (nullable): the memory, or `NULL` with @error set:
 *   [error@Mp.Error.NOT_FOUND] if there is none, [error@Mp.Error.NOT_SUPPORTED] if
 *   only processes of another process id namespace have it; otherwise as by
 *   [ctor@Mp.SharedMemory.new_named]
 *
 * Since: 0.1
 */
MpSharedMemory *
mp_shared_memory_open (const char *name, GError **error)
{
  g_autoptr (MpRegistryHold) hold = NULL;
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GVariant) handle = NULL;
  MpSharedMemory *self;

  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  hold = mp_registry_open (MP_REGISTRY_MEMORY, name, &handle, &fd_list, error);
  if (hold == NULL)
    return NULL;
  self = import_without_name (handle, name, fd_list, error);
  if (self != NULL)
    self->hold = g_steal_pointer (&hold);
  return self;
}

/**
 * mp_shared_memory_new_view:
 * @self: memory
 * @error: return location for an error
 *
 * Makes an object of the same memory that can only be read, and whose handles
 * are such, too. It holds the name of @self as @self does.
 *
 * Returns: (transfer full) (nullable): the view, or `NULL` with @error set:
 *   [error@Mp.Error.LIMIT] if there is no file descriptor left
 *
 * Since: 0.1
 */
MpSharedMemory *
mp_shared_memory_new_view (MpSharedMemory *self, GError **error)
{
  g_auto (MpFd) fd = -1;
  MpSharedMemory *view;
  char path[32];

  g_return_val_if_fail (MP_IS_READY_SHARED_MEMORY (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  g_snprintf (path, sizeof path, "/proc/self/fd/%d", self->segment.fd);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    {
      mp_set_error_from_errno (error, errno, "Making a read-only view");
      return NULL;
    }
  view = new_from_fd (self->name, fd, error);
  if (view != NULL && self->hold != NULL)
    view->hold = mp_registry_hold_ref (self->hold);
  return view;
}

/* Using it */

/**
 * mp_shared_memory_get_bytes:
 * @self: memory
 *
 * Gives the whole memory as bytes, without copying it. The bytes keep the memory
 * mapped, also when @self is gone, but not its name.
 *
 * What others write there changes these bytes, which is not what one expects of
 * a [struct@GLib.Bytes]: copy what has to stay.
 *
 * Returns: (transfer full): the bytes
 *
 * Since: 0.1
 */
GBytes *
mp_shared_memory_get_bytes (MpSharedMemory *self)
{
  Mapping *mapping;

  g_return_val_if_fail (MP_IS_READY_SHARED_MEMORY (self), NULL);

  mapping = self->mapping;
  g_atomic_ref_count_inc (&mapping->ref_count);
  return g_bytes_new_with_free_func (mapping->data, mapping->size, mapping_unref, mapping);
}

/**
 * mp_shared_memory_get_address:
 * @self: memory
 *
 * Gives the address of the first byte in this process: aligned to a page, the same
 * until @self is gone, and another one in each process. Writing to a
 * read-only view raises `SIGSEGV`.
 *
 * Returns: the address, as a number
 *
 * Since: 0.1
 */
gsize
mp_shared_memory_get_address (MpSharedMemory *self)
{
  g_return_val_if_fail (MP_IS_READY_SHARED_MEMORY (self), 0);

  return (gsize) (gpointer) self->mapping->data;
}

/**
 * mp_shared_memory_unlink:
 * @self: memory
 * @error: return location for an error
 *
 * Frees the name of this memory, at once and for everybody. Those who have the
 * memory keep it, and it can still be shared by handles.
 *
 * Returns: whether it had a name; if not, @error is set:
 *   [error@Mp.Error.NOT_FOUND] if it had none or somebody has unlinked it before,
 *   [error@Mp.Error.BUSY] if a process stands still in the middle of changing it
 *
 * Since: 0.1
 */
gboolean
mp_shared_memory_unlink (MpSharedMemory *self, GError **error)
{
  g_return_val_if_fail (MP_IS_READY_SHARED_MEMORY (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (self->hold != NULL)
    return mp_registry_unlink (MP_REGISTRY_MEMORY,
                               self->name,
                               mp_registry_hold_get_id (self->hold),
                               error);
  g_set_error_literal (error, MP_ERROR, MP_ERROR_NOT_FOUND, "This memory has no name");
  return FALSE;
}

/**
 * mp_shared_memory_keep:
 * @self: memory
 *
 * Holds the name, and with it the memory, until this process ends or somebody
 * unlinks the name, also when @self is gone. A name that every process keeps which
 * makes or opens it can be closed and opened again, as names of files can.
 *
 * When another process unlinks the name, this one gives the memory back when it
 * makes or opens some memory the next time, or ends.
 *
 * Memory that has no name, or has it no longer, is not kept.
 *
 * Since: 0.1
 */
void
mp_shared_memory_keep (MpSharedMemory *self)
{
  g_return_if_fail (MP_IS_READY_SHARED_MEMORY (self));

  if (self->hold != NULL)
    mp_registry_hold_keep (self->hold);
}

/**
 * mp_shared_memory_get_name: (get-property name)
 * @self: memory
 *
 * Gets the value of [property@Mp.SharedMemory:name].
 *
 * Returns: (transfer none) (nullable): the name
 *
 * Since: 0.1
 */
const char *
mp_shared_memory_get_name (MpSharedMemory *self)
{
  g_return_val_if_fail (MP_IS_SHARED_MEMORY (self), NULL);

  return self->name;
}

/**
 * mp_shared_memory_get_size: (get-property size)
 * @self: memory
 *
 * Gets the value of [property@Mp.SharedMemory:size].
 *
 * Returns: the number of bytes
 *
 * Since: 0.1
 */
gsize
mp_shared_memory_get_size (MpSharedMemory *self)
{
  g_return_val_if_fail (MP_IS_SHARED_MEMORY (self), 0);

  return self->size;
}

/**
 * mp_shared_memory_get_read_only: (get-property read-only)
 * @self: memory
 *
 * Gets the value of [property@Mp.SharedMemory:read-only].
 *
 * Returns: whether it can only be read
 *
 * Since: 0.1
 */
gboolean
mp_shared_memory_get_read_only (MpSharedMemory *self)
{
  g_return_val_if_fail (MP_IS_SHARED_MEMORY (self), FALSE);

  return self->segment.read_only;
}
