/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-array.h"

#include "mp-elements-private.h"

#include "../base/mp-error.h"
#include "../memory/mp-shareable-private.h"

#define KIND_NAME "array"

/**
 * MpArray:
 *
 * An array in shared memory, of numbers of one type.
 *
 * It is of one of the types of C, see [enum@Mp.ValueType], of a length that never
 * changes, and starts as zeroes. It reaches another process as a
 * [iface@Mp.Shareable], for instance in the arguments of a process that is
 * started, and exists until no process has it any more.
 *
 * # One item
 *
 * Functions that read or change one item do so in one atomic step, and take and
 * give the same numbers as those of an [class@Mp.Value]. An index beyond the end is
 * [error@Mp.Error.INVALID_ARGUMENT].
 *
 * # Many items
 *
 * [method@Mp.Array.read], [method@Mp.Array.write], [method@Mp.Array.get_bytes] and
 * [method@Mp.Array.set_bytes] copy as fast as memory is, and therefore not in one
 * step: who reads while another writes may see some of it, and so may all if the
 * writer is killed. Where that matters, everybody holds the lock.
 *
 * # The lock
 *
 * An array can be made with a lock, which travels with it:
 * [method@Mp.Array.get_lock]. No function here takes it, nor waits for who has it.
 *
 * # Any other memory
 *
 * An array of %MP_VALUE_TYPE_UINT8 is as many bytes for whatever a program wants
 * to have there. It starts at a multiple of its size rounded up to a power of two,
 * at most of 64, which is enough for every type of C, and
 * [method@Mp.Array.get_address] tells where.
 *
 * # Threads
 *
 * All functions can be called from any thread. A child of fork() can use the
 * arrays of its parent.
 *
 * Since: 0.1
 */

struct _MpArray
{
  GObject parent_instance;

  MpElements elements; /* no block: not ready */
};

#define MP_IS_READY_ARRAY(self) (MP_IS_ARRAY (self) && (self)->elements.block.memory != NULL)

enum
{
  PROP_0,
  PROP_VALUE_TYPE,
  PROP_LENGTH,
  PROP_LOCK,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void mp_array_initable_iface_init (GInitableIface *iface);
static void mp_array_shareable_iface_init (MpShareableInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpArray,
                               mp_array,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, mp_array_initable_iface_init)
                                 G_IMPLEMENT_INTERFACE (MP_TYPE_SHAREABLE,
                                                        mp_array_shareable_iface_init))

static void
mp_array_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpArray *self = MP_ARRAY (object);

  switch (prop_id)
    {
    case PROP_VALUE_TYPE:
      g_value_set_enum (value, mp_array_get_value_type (self));
      break;
    case PROP_LENGTH:
      g_value_set_uint64 (value, mp_array_get_length (self));
      break;
    case PROP_LOCK:
      g_value_set_object (value, mp_array_get_lock (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_array_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  MpArray *self = MP_ARRAY (object);

  switch (prop_id)
    {
    case PROP_VALUE_TYPE:
      self->elements.type = g_value_get_enum (value);
      break;
    case PROP_LENGTH:
      self->elements.length = g_value_get_uint64 (value);
      break;
    case PROP_LOCK:
      self->elements.lock = g_value_dup_object (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_array_finalize (GObject *object)
{
  MpArray *self = MP_ARRAY (object);

  mp_elements_clear (&self->elements);
  G_OBJECT_CLASS (mp_array_parent_class)->finalize (object);
}

static void
mp_array_class_init (MpArrayClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = mp_array_get_property;
  object_class->set_property = mp_array_set_property;
  object_class->finalize = mp_array_finalize;

  /**
   * MpArray:value-type: (getter get_value_type)
   *
   * What its items are.
   *
   * Since: 0.1
   */
  properties[PROP_VALUE_TYPE] =
    g_param_spec_enum ("value-type",
                       NULL,
                       NULL,
                       MP_TYPE_VALUE_TYPE,
                       MP_VALUE_TYPE_INT64,
                       G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * MpArray:length: (getter get_length)
   *
   * How many items it has.
   *
   * Since: 0.1
   */
  properties[PROP_LENGTH] =
    g_param_spec_uint64 ("length",
                         NULL,
                         NULL,
                         0,
                         G_MAXSIZE,
                         0,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * MpArray:lock: (getter get_lock)
   *
   * The lock that belongs to it.
   *
   * Since: 0.1
   */
  properties[PROP_LOCK] =
    g_param_spec_object ("lock",
                         NULL,
                         NULL,
                         MP_TYPE_RLOCK,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_array_init (MpArray *self)
{
}

static gboolean
mp_array_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  MpArray *self = MP_ARRAY (initable);

  return self->elements.block.memory != NULL ||
         mp_elements_init (&self->elements, self->elements.length, error);
}

static void
mp_array_initable_iface_init (GInitableIface *iface)
{
  iface->init = mp_array_initable_init;
}

static GVariant *
mp_array_to_handle (MpShareable *shareable, GUnixFDList *fd_list, GError **error)
{
  MpArray *self = MP_ARRAY (shareable);

  g_return_val_if_fail (MP_IS_READY_ARRAY (self), NULL);
  return mp_elements_to_handle (&self->elements, KIND_NAME, fd_list, error);
}

static void
mp_array_shareable_iface_init (MpShareableInterface *iface)
{
  iface->to_handle = mp_array_to_handle;
}

static MpShareable *
mp_array_import (GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  g_autoptr (MpArray) self = g_object_new (MP_TYPE_ARRAY, NULL);

  if (!mp_elements_from_handle (&self->elements, KIND_NAME, handle, fd_list, error))
    return NULL;
  return MP_SHAREABLE (g_steal_pointer (&self));
}

__attribute__ ((constructor)) static void
register_kind (void)
{
  mp_shareable_register_kind (KIND_NAME, mp_array_import);
}

/**
 * mp_array_new:
 * @type: what its items are
 * @length: how many there are; there may be none
 * @with_lock: whether it has a lock
 * @error: return location for an error
 *
 * Makes an array of zeroes.
 *
 * Returns: (transfer full) (nullable): the array, or `NULL` with @error set:
 *   [error@Mp.Error.LIMIT] if there is no memory for so many, or no file descriptor
 *   left
 *
 * Since: 0.1
 */
MpArray *
mp_array_new (MpValueType type, gsize length, gboolean with_lock, GError **error)
{
  g_autoptr (MpRLock) lock = NULL;

  g_return_val_if_fail ((guint) type <= MP_VALUE_TYPE_WCHAR, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (with_lock)
    {
      lock = mp_rlock_new (error);
      if (lock == NULL)
        return NULL;
    }
  return g_initable_new (MP_TYPE_ARRAY,
                         NULL,
                         error,
                         "value-type",
                         type,
                         "length",
                         (guint64) length,
                         "lock",
                         lock,
                         NULL);
}

/* Many items */

/**
 * mp_array_read:
 * @self: an array
 * @start: the index of the first item
 * @n_items: how many
 * @error: return location for an error
 *
 * Copies items out.
 *
 * Returns: (transfer full) (nullable): an array of variants of the type for this type
 *   of items, see [enum@Mp.ValueType], such as `ai`, never floating; or `NULL` with @error
 *   set: [error@Mp.Error.INVALID_ARGUMENT] if there are not so many,
 *   [error@Mp.Error.LIMIT] if there is no memory for the copy
 *
 * Since: 0.1
 */
GVariant *
mp_array_read (MpArray *self, gsize start, gsize n_items, GError **error)
{
  g_return_val_if_fail (MP_IS_READY_ARRAY (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return mp_elements_read (&self->elements, start, n_items, error);
}

/**
 * mp_array_write:
 * @self: an array
 * @start: the index of the first item
 * @values: an array of variants, such as `ai`; if it is floating, it is consumed
 * @error: return location for an error
 *
 * Changes as many items as @values has. Each is checked as by
 * [method@Mp.Array.set_item] before any is changed. It is fastest with the type that
 * [method@Mp.Array.read] gives.
 *
 * Returns: whether they were changed; if not, none was, and @error is set:
 *   [error@Mp.Error.TYPE] if they cannot be such variants,
 *   [error@Mp.Error.INVALID_ARGUMENT] if there are not so many items or a number
 *   does not fit, [error@Mp.Error.LIMIT] if there is no memory for checking
 *
 * Since: 0.1
 */
gboolean
mp_array_write (MpArray *self, gsize start, GVariant *values, GError **error)
{
  g_autoptr (GVariant) owned = NULL;

  g_return_val_if_fail (MP_IS_READY_ARRAY (self), FALSE);
  g_return_val_if_fail (values != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  owned = g_variant_ref_sink (values);
  return mp_elements_write (&self->elements, start, owned, error);
}

/**
 * mp_array_get_bytes:
 * @self: an array
 * @start: the index of the first item
 * @n_items: how many
 * @error: return location for an error
 *
 * Copies the memory of items out, as C has them on this machine.
 *
 * Returns: (transfer full) (nullable): the copy, or `NULL` with @error set as by
 *   [method@Mp.Array.read]
 *
 * Since: 0.1
 */
GBytes *
mp_array_get_bytes (MpArray *self, gsize start, gsize n_items, GError **error)
{
  g_return_val_if_fail (MP_IS_READY_ARRAY (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return mp_elements_read_bytes (&self->elements, start, n_items, error);
}

/**
 * mp_array_set_bytes:
 * @self: an array
 * @start: the index of the first item
 * @bytes: the memory of a whole number of items
 * @error: return location for an error
 *
 * Changes items to what @bytes has, as C has them on this machine.
 *
 * Returns: whether they were changed; if not, none was, and @error is set:
 *   [error@Mp.Error.INVALID_ARGUMENT] if there are not so many items, or @bytes
 *   ends within one
 *
 * Since: 0.1
 */
gboolean
mp_array_set_bytes (MpArray *self, gsize start, GBytes *bytes, GError **error)
{
  g_return_val_if_fail (MP_IS_READY_ARRAY (self), FALSE);
  g_return_val_if_fail (bytes != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return mp_elements_write_bytes (&self->elements, start, bytes, error);
}

/* One item */

/* NULL with @error set if there is none. */
static inline gpointer
peek_item (MpArray *self, gsize index, GError **error)
{
  if (!mp_elements_check_range (&self->elements, index, 1, error))
    return NULL;
  return mp_elements_peek (&self->elements, index);
}

static gint64
fetch (MpArray *self, gsize index, MpElementOperation operation, gint64 operand, GError **error)
{
  gpointer memory;

  g_return_val_if_fail (MP_IS_READY_ARRAY (self), 0);
  g_return_val_if_fail (error == NULL || *error == NULL, 0);

  memory = peek_item (self, index, error);
  if (memory == NULL)
    return 0;
  return mp_element_fetch (self->elements.type, memory, operation, operand, error);
}

/**
 * mp_array_get_item:
 * @self: an array
 * @index: the index of the item
 * @error: return location for an error
 *
 * What one item is now.
 *
 * Returns: (transfer full) (nullable): a variant of the type for this type of items, see
 *   [enum@Mp.ValueType], never floating; or `NULL` with @error set:
 *   [error@Mp.Error.INVALID_ARGUMENT] if there is no such item
 *
 * Since: 0.1
 */
GVariant *
mp_array_get_item (MpArray *self, gsize index, GError **error)
{
  gpointer memory;

  g_return_val_if_fail (MP_IS_READY_ARRAY (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  memory = peek_item (self, index, error);
  return memory != NULL ? mp_element_get (self->elements.type, memory) : NULL;
}

/**
 * mp_array_set_item:
 * @self: an array
 * @index: the index of the item
 * @value: what it is to be; if it is floating, it is consumed
 * @error: return location for an error
 *
 * Changes one item; see [method@Mp.Value.set] for what can be given.
 *
 * Returns: whether it was changed; if not, @error is set as by [method@Mp.Value.set], or
 *   [error@Mp.Error.INVALID_ARGUMENT] if there is no such item
 *
 * Since: 0.1
 */
gboolean
mp_array_set_item (MpArray *self, gsize index, GVariant *value, GError **error)
{
  gpointer memory;
  g_autoptr (GVariant) owned = NULL;

  g_return_val_if_fail (MP_IS_READY_ARRAY (self), FALSE);
  g_return_val_if_fail (value != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  owned = g_variant_ref_sink (value);
  memory = peek_item (self, index, error);
  return memory != NULL && mp_element_set (self->elements.type, memory, owned, error);
}

/**
 * mp_array_get_double:
 * @self: an array of floats or doubles
 * @index: the index of the item
 * @error: return location for an error
 *
 * What one item is now.
 *
 * Returns: the number; 0 if @error is set as by [method@Mp.Value.get_double], or
 *   [error@Mp.Error.INVALID_ARGUMENT] if there is no such item
 *
 * Since: 0.1
 */
gdouble
mp_array_get_double (MpArray *self, gsize index, GError **error)
{
  gpointer memory;

  g_return_val_if_fail (MP_IS_READY_ARRAY (self), 0);
  g_return_val_if_fail (error == NULL || *error == NULL, 0);

  memory = peek_item (self, index, error);
  return memory != NULL ? mp_element_get_double (self->elements.type, memory, error) : 0;
}

/**
 * mp_array_set_double:
 * @self: an array of floats or doubles
 * @index: the index of the item
 * @value: what it is to be
 * @error: return location for an error
 *
 * Changes one item, as [method@Mp.Value.set_double] does.
 *
 * Returns: whether it was changed; if not, @error is set as by
 *   [method@Mp.Value.set_double], or [error@Mp.Error.INVALID_ARGUMENT] if there is no such item
 *
 * Since: 0.1
 */
gboolean
mp_array_set_double (MpArray *self, gsize index, gdouble value, GError **error)
{
  gpointer memory;

  g_return_val_if_fail (MP_IS_READY_ARRAY (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  memory = peek_item (self, index, error);
  return memory != NULL && mp_element_set_double (self->elements.type, memory, value, error);
}

/**
 * mp_array_get_int:
 * @self: an array of integers
 * @index: the index of the item
 * @error: return location for an error
 *
 * What one item is now.
 *
 * Returns: the number; 0 if @error is set as by [method@Mp.Value.get_int], or
 *   [error@Mp.Error.INVALID_ARGUMENT] if there is no such item
 *
 * Since: 0.1
 */
gint64
mp_array_get_int (MpArray *self, gsize index, GError **error)
{
  gpointer memory;

  g_return_val_if_fail (MP_IS_READY_ARRAY (self), 0);
  g_return_val_if_fail (error == NULL || *error == NULL, 0);

  memory = peek_item (self, index, error);
  return memory != NULL ? mp_element_get_int (self->elements.type, memory, error) : 0;
}

/**
 * mp_array_set_int:
 * @self: an array of integers
 * @index: the index of the item
 * @value: what it is to be
 * @error: return location for an error
 *
 * Changes one item.
 *
 * Returns: whether it was changed; if not, @error is set as by [method@Mp.Value.set_int],
 *   or [error@Mp.Error.INVALID_ARGUMENT] if there is no such item
 *
 * Since: 0.1
 */
gboolean
mp_array_set_int (MpArray *self, gsize index, gint64 value, GError **error)
{
  gpointer memory;

  g_return_val_if_fail (MP_IS_READY_ARRAY (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  memory = peek_item (self, index, error);
  return memory != NULL && mp_element_set_int (self->elements.type, memory, value, error);
}

/**
 * mp_array_add:
 * @self: an array of integers
 * @index: the index of the item
 * @delta: what is added; negative to subtract
 * @error: return location for an error
 *
 * Adds to one item. The sum wraps around, see [method@Mp.Value.add].
 *
 * Returns: the sum, that is, what the item was directly afterwards; 0 if @error is set
 *   as by [method@Mp.Value.add], or [error@Mp.Error.INVALID_ARGUMENT] if there is no such item
 *
 * Since: 0.1
 */
gint64
mp_array_add (MpArray *self, gsize index, gint64 delta, GError **error)
{
  gpointer memory;

  g_return_val_if_fail (MP_IS_READY_ARRAY (self), 0);
  g_return_val_if_fail (error == NULL || *error == NULL, 0);

  memory = peek_item (self, index, error);
  return memory != NULL ? mp_element_add (self->elements.type, memory, delta, error) : 0;
}

/**
 * mp_array_exchange:
 * @self: an array of integers
 * @index: the index of the item
 * @value: what it is to be
 * @error: return location for an error
 *
 * Changes one item, and tells what it was.
 *
 * Returns: what it was before; 0 if @error is set as by [method@Mp.Array.set_int]
 *
 * Since: 0.1
 */
gint64
mp_array_exchange (MpArray *self, gsize index, gint64 value, GError **error)
{
  return fetch (self, index, MP_ELEMENT_EXCHANGE, value, error);
}

/**
 * mp_array_compare_exchange:
 * @self: an array of integers
 * @index: the index of the item
 * @expected: what it has to be
 * @desired: what it is to be then
 * @found: (out) (optional): what it was before
 * @error: return location for an error
 *
 * Changes one item if it is what the caller thinks.
 *
 * Returns: whether it was changed. If not, either it was something else, or @error
 *   is set as by [method@Mp.Array.set_int], also for an @expected that does not fit
 *
 * Since: 0.1
 */
gboolean
mp_array_compare_exchange (MpArray *self,
                           gsize index,
                           gint64 expected,
                           gint64 desired,
                           gint64 *found,
                           GError **error)
{
  gpointer memory;

  if (found != NULL)
    *found = 0;
  g_return_val_if_fail (MP_IS_READY_ARRAY (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  memory = peek_item (self, index, error);
  return memory != NULL &&
         mp_element_compare_exchange (self->elements.type, memory, expected, desired, found, error);
}

/**
 * mp_array_fetch_and:
 * @self: an array of integers
 * @index: the index of the item
 * @mask: the bits that are kept, as a number with or without a sign
 * @error: return location for an error
 *
 * Clears all bits of one item but some.
 *
 * Returns: what it was before; 0 if @error is set as by [method@Mp.Value.fetch_and], or
 *   [error@Mp.Error.INVALID_ARGUMENT] if there is no such item
 *
 * Since: 0.1
 */
gint64
mp_array_fetch_and (MpArray *self, gsize index, gint64 mask, GError **error)
{
  return fetch (self, index, MP_ELEMENT_AND, mask, error);
}

/**
 * mp_array_fetch_or:
 * @self: an array of integers
 * @index: the index of the item
 * @mask: the bits that are set, as a number with or without a sign
 * @error: return location for an error
 *
 * Sets some bits of one item.
 *
 * Returns: what it was before; 0 if @error is set as by [method@Mp.Value.fetch_and], or
 *   [error@Mp.Error.INVALID_ARGUMENT] if there is no such item
 *
 * Since: 0.1
 */
gint64
mp_array_fetch_or (MpArray *self, gsize index, gint64 mask, GError **error)
{
  return fetch (self, index, MP_ELEMENT_OR, mask, error);
}

/**
 * mp_array_fetch_xor:
 * @self: an array of integers
 * @index: the index of the item
 * @mask: the bits that are turned over, as a number with or without a sign
 * @error: return location for an error
 *
 * Turns some bits of one item over.
 *
 * Returns: what it was before; 0 if @error is set as by [method@Mp.Value.fetch_and], or
 *   [error@Mp.Error.INVALID_ARGUMENT] if there is no such item
 *
 * Since: 0.1
 */
gint64
mp_array_fetch_xor (MpArray *self, gsize index, gint64 mask, GError **error)
{
  return fetch (self, index, MP_ELEMENT_XOR, mask, error);
}

/**
 * mp_array_get_value_type: (get-property value-type)
 * @self: an array
 *
 * What its items are.
 *
 * Returns: their type
 *
 * Since: 0.1
 */
MpValueType
mp_array_get_value_type (MpArray *self)
{
  g_return_val_if_fail (MP_IS_ARRAY (self), MP_VALUE_TYPE_BOOLEAN);

  return self->elements.type;
}

/**
 * mp_array_get_length: (get-property length)
 * @self: an array
 *
 * How many items it has.
 *
 * Returns: their number
 *
 * Since: 0.1
 */
gsize
mp_array_get_length (MpArray *self)
{
  g_return_val_if_fail (MP_IS_ARRAY (self), 0);

  return self->elements.length;
}

/**
 * mp_array_get_lock: (get-property lock)
 * @self: an array
 *
 * The lock that belongs to it, which is the same one in all processes.
 *
 * Returns: (transfer none) (nullable): the lock, `NULL` if it was made without
 *
 * Since: 0.1
 */
MpRLock *
mp_array_get_lock (MpArray *self)
{
  g_return_val_if_fail (MP_IS_ARRAY (self), NULL);

  return self->elements.lock;
}

/**
 * mp_array_get_address:
 * @self: an array
 *
 * Where its first item is in this process, for bindings that make something of
 * memory: Python's `ctypes`, for instance. The others follow without a gap. It all
 * stays there for as long as @self exists. There is an address also if there are no
 * items.
 *
 * Returns: its address
 *
 * Since: 0.1
 */
gsize
mp_array_get_address (MpArray *self)
{
  g_return_val_if_fail (MP_IS_READY_ARRAY (self), 0);

  return (gsize) self->elements.block.memory;
}
