/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-value.h"

#include "mp-elements-private.h"

#include "../base/mp-error.h"
#include "../memory/mp-shareable-private.h"

#define KIND_NAME "value"

/**
 * MpValue:
 *
 * One number in shared memory: a counter, a flag, the state of something.
 *
 * It is of one of the types of C, see [enum@Mp.ValueType], and starts as 0 or as
 * what it is made with. It reaches another process as a [iface@Mp.Shareable],
 * for instance in the arguments of a process that is started, and exists until
 * no process has it any more.
 *
 * # Atomic operations
 *
 * Each function that reads or changes the value does so in one atomic step,
 * without a lock and without a system call, in an order on which all processes
 * agree: a thousand times [method@Mp.Value.add] by eight processes are eight
 * thousand. A process that is killed has done it or not.
 *
 * Those with integers take and give 64 bits with a sign. A value of type
 * %MP_VALUE_TYPE_UINT64 beyond `G_MAXINT64` is two's complement there, that is,
 * negative; [method@Mp.Value.get] and [method@Mp.Value.set] have it exactly. A number
 * that the type cannot hold is [error@Mp.Error.INVALID_ARGUMENT] and changes
 * nothing. For a boolean the numbers are 0 and 1.
 *
 * # The lock
 *
 * For steps that belong together, a value can be made with a lock, which travels
 * with it: [method@Mp.Value.get_lock]. No function here takes it, nor waits for who
 * has it.
 *
 * # Threads
 *
 * All functions can be called from any thread. A child of fork() can use the
 * values of its parent.
 *
 * Since: 0.1
 */

struct _MpValue
{
  GObject parent_instance;

  MpElements elements; /* one; no block: not ready */
};

#define MP_IS_READY_VALUE(self) (MP_IS_VALUE (self) && (self)->elements.block.memory != NULL)

enum
{
  PROP_0,
  PROP_VALUE_TYPE,
  PROP_LOCK,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void mp_value_initable_iface_init (GInitableIface *iface);
static void mp_value_shareable_iface_init (MpShareableInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpValue,
                               mp_value,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, mp_value_initable_iface_init)
                                 G_IMPLEMENT_INTERFACE (MP_TYPE_SHAREABLE,
                                                        mp_value_shareable_iface_init))

static void
mp_value_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpValue *self = MP_VALUE (object);

  switch (prop_id)
    {
    case PROP_VALUE_TYPE:
      g_value_set_enum (value, mp_value_get_value_type (self));
      break;
    case PROP_LOCK:
      g_value_set_object (value, mp_value_get_lock (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_value_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  MpValue *self = MP_VALUE (object);

  switch (prop_id)
    {
    case PROP_VALUE_TYPE:
      self->elements.type = g_value_get_enum (value);
      break;
    case PROP_LOCK:
      self->elements.lock = g_value_dup_object (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_value_finalize (GObject *object)
{
  MpValue *self = MP_VALUE (object);

  mp_elements_clear (&self->elements);
  G_OBJECT_CLASS (mp_value_parent_class)->finalize (object);
}

static void
mp_value_class_init (MpValueClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = mp_value_get_property;
  object_class->set_property = mp_value_set_property;
  object_class->finalize = mp_value_finalize;

  /**
   * MpValue:value-type: (getter get_value_type)
   *
   * What it is.
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
   * MpValue:lock: (getter get_lock)
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
mp_value_init (MpValue *self)
{
}

static gboolean
mp_value_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  MpValue *self = MP_VALUE (initable);

  return self->elements.block.memory != NULL || mp_elements_init (&self->elements, 1, error);
}

static void
mp_value_initable_iface_init (GInitableIface *iface)
{
  iface->init = mp_value_initable_init;
}

static GVariant *
mp_value_to_handle (MpShareable *shareable, GUnixFDList *fd_list, GError **error)
{
  MpValue *self = MP_VALUE (shareable);

  g_return_val_if_fail (MP_IS_READY_VALUE (self), NULL);
  return mp_elements_to_handle (&self->elements, KIND_NAME, fd_list, error);
}

static void
mp_value_shareable_iface_init (MpShareableInterface *iface)
{
  iface->to_handle = mp_value_to_handle;
}

static MpShareable *
mp_value_import (GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  g_autoptr (MpValue) self = g_object_new (MP_TYPE_VALUE, NULL);

  if (!mp_elements_from_handle (&self->elements, KIND_NAME, handle, fd_list, error))
    return NULL;
  if (self->elements.length != 1)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_CORRUPT,
                   "The handle of a value names %" G_GSIZE_FORMAT " elements",
                   self->elements.length);
      return NULL;
    }
  return MP_SHAREABLE (g_steal_pointer (&self));
}

__attribute__ ((constructor)) static void
register_kind (void)
{
  mp_shareable_register_kind (KIND_NAME, mp_value_import);
}

/**
 * mp_value_new:
 * @type: what it is
 * @initial: (nullable): what it starts with, or `NULL` for 0; if it is floating, it
 *   is consumed
 * @with_lock: whether it has a lock
 * @error: return location for an error
 *
 * Makes a value.
 *
 * Returns: (transfer full) (nullable): the value, or `NULL` with @error set:
 *   [error@Mp.Error.LIMIT] if there is no memory or no file descriptor left, or as
 *   by [method@Mp.Value.set]
 *
 * Since: 0.1
 */
MpValue *
mp_value_new (MpValueType type, GVariant *initial, gboolean with_lock, GError **error)
{
  g_autoptr (GVariant) owned = initial != NULL ? g_variant_ref_sink (initial) : NULL;
  g_autoptr (MpRLock) lock = NULL;
  g_autoptr (MpValue) self = NULL;

  g_return_val_if_fail ((guint) type <= MP_VALUE_TYPE_WCHAR, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (with_lock)
    {
      lock = mp_rlock_new (error);
      if (lock == NULL)
        return NULL;
    }
  self = g_initable_new (MP_TYPE_VALUE, NULL, error, "value-type", type, "lock", lock, NULL);
  if (self == NULL || (owned != NULL && !mp_value_set (self, owned, error)))
    return NULL;
  return g_steal_pointer (&self);
}

/**
 * mp_value_get:
 * @self: a value
 *
 * What it is now.
 *
 * Returns: (transfer full): a variant of the type for this type of value, see
 *   [enum@Mp.ValueType]; never floating
 *
 * Since: 0.1
 */
GVariant *
mp_value_get (MpValue *self)
{
  g_return_val_if_fail (MP_IS_READY_VALUE (self), NULL);

  return mp_element_get (self->elements.type, self->elements.block.memory);
}

/**
 * mp_value_set:
 * @self: a value
 * @value: what it is to be; if it is floating, it is consumed
 * @error: return location for an error
 *
 * Changes it.
 *
 * Variants with integers of any type are good for any integer that can hold
 * them, and for numbers with a fraction, if these do not round them. Such numbers
 * take a `d`, which a float rounds, a boolean takes only a `b`, and a wide character also an `s` of
 * one character.
 *
 * Returns: whether it was changed; if not, @error is set: [error@Mp.Error.TYPE] if it
 *   cannot be such a variant, [error@Mp.Error.INVALID_ARGUMENT] if the number does
 *   not fit
 *
 * Since: 0.1
 */
gboolean
mp_value_set (MpValue *self, GVariant *value, GError **error)
{
  g_autoptr (GVariant) owned = NULL;

  g_return_val_if_fail (MP_IS_READY_VALUE (self), FALSE);
  g_return_val_if_fail (value != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  owned = g_variant_ref_sink (value);
  return mp_element_set (self->elements.type, self->elements.block.memory, owned, error);
}

/**
 * mp_value_get_double:
 * @self: a value that is a float or a double
 * @error: return location for an error
 *
 * What it is now.
 *
 * Returns: the number; 0 if @error is set: [error@Mp.Error.TYPE] if it is an integer
 *
 * Since: 0.1
 */
gdouble
mp_value_get_double (MpValue *self, GError **error)
{
  g_return_val_if_fail (MP_IS_READY_VALUE (self), 0);
  g_return_val_if_fail (error == NULL || *error == NULL, 0);

  return mp_element_get_double (self->elements.type, self->elements.block.memory, error);
}

/**
 * mp_value_set_double:
 * @self: a value that is a float or a double
 * @value: what it is to be
 * @error: return location for an error
 *
 * Changes it. A float rounds; only a finite number that is too big for it does not
 * fit.
 *
 * Returns: whether it was changed; if not, @error is set: [error@Mp.Error.TYPE] if it is
 *   an integer, [error@Mp.Error.INVALID_ARGUMENT] if the number does not fit
 *
 * Since: 0.1
 */
gboolean
mp_value_set_double (MpValue *self, gdouble value, GError **error)
{
  g_return_val_if_fail (MP_IS_READY_VALUE (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return mp_element_set_double (self->elements.type, self->elements.block.memory, value, error);
}

/**
 * mp_value_get_int:
 * @self: a value that is an integer
 * @error: return location for an error
 *
 * What it is now, see [class@Mp.Value] for integers of 64 bits without a sign.
 *
 * Returns: the number; 0 if @error is set: [error@Mp.Error.TYPE] if it is no integer
 *
 * Since: 0.1
 */
gint64
mp_value_get_int (MpValue *self, GError **error)
{
  g_return_val_if_fail (MP_IS_READY_VALUE (self), 0);
  g_return_val_if_fail (error == NULL || *error == NULL, 0);

  return mp_element_get_int (self->elements.type, self->elements.block.memory, error);
}

/**
 * mp_value_set_int:
 * @self: a value that is an integer
 * @value: what it is to be
 * @error: return location for an error
 *
 * Changes it.
 *
 * Returns: whether it was changed; if not, @error is set: [error@Mp.Error.TYPE] if it is
 *   no integer, [error@Mp.Error.INVALID_ARGUMENT] if the number does not fit
 *
 * Since: 0.1
 */
gboolean
mp_value_set_int (MpValue *self, gint64 value, GError **error)
{
  g_return_val_if_fail (MP_IS_READY_VALUE (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return mp_element_set_int (self->elements.type, self->elements.block.memory, value, error);
}

/**
 * mp_value_add:
 * @self: a value that is an integer
 * @delta: what is added; negative to subtract
 * @error: return location for an error
 *
 * Adds to it. A sum that is too big or too small for the type wraps around, as it
 * does in C for integers without a sign: 255 + 1 is 0 in a uint8, and 127 + 1 is
 * -128 in an int8. There is no error for that.
 *
 * Returns: the sum, that is, what the value was directly afterwards; 0 if @error is
 *   set: [error@Mp.Error.TYPE] if it is no integer, or a boolean
 *
 * Since: 0.1
 */
gint64
mp_value_add (MpValue *self, gint64 delta, GError **error)
{
  g_return_val_if_fail (MP_IS_READY_VALUE (self), 0);
  g_return_val_if_fail (error == NULL || *error == NULL, 0);

  return mp_element_add (self->elements.type, self->elements.block.memory, delta, error);
}

static gint64
fetch (MpValue *self, MpElementOperation operation, gint64 operand, GError **error)
{
  gpointer memory;

  g_return_val_if_fail (MP_IS_READY_VALUE (self), 0);
  g_return_val_if_fail (error == NULL || *error == NULL, 0);

  memory = self->elements.block.memory;
  return mp_element_fetch (self->elements.type, memory, operation, operand, error);
}

/**
 * mp_value_exchange:
 * @self: a value that is an integer
 * @value: what it is to be
 * @error: return location for an error
 *
 * Changes it, and tells what it was.
 *
 * Returns: what it was before; 0 if @error is set as by [method@Mp.Value.set_int]
 *
 * Since: 0.1
 */
gint64
mp_value_exchange (MpValue *self, gint64 value, GError **error)
{
  return fetch (self, MP_ELEMENT_EXCHANGE, value, error);
}

/**
 * mp_value_compare_exchange:
 * @self: a value that is an integer
 * @expected: what it has to be
 * @desired: what it is to be then
 * @found: (out) (optional): what it was before
 * @error: return location for an error
 *
 * Changes it if it is what the caller thinks.
 *
 * Returns: whether it was changed. If not, either it was something else, or @error
 *   is set as by [method@Mp.Value.set_int], also for an @expected that does not fit
 *
 * Since: 0.1
 */
gboolean
mp_value_compare_exchange (MpValue *self,
                           gint64 expected,
                           gint64 desired,
                           gint64 *found,
                           GError **error)
{
  if (found != NULL)
    *found = 0;
  g_return_val_if_fail (MP_IS_READY_VALUE (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return mp_element_compare_exchange (self->elements.type,
                                      self->elements.block.memory,
                                      expected,
                                      desired,
                                      found,
                                      error);
}

/**
 * mp_value_fetch_and:
 * @self: a value that is an integer
 * @mask: the bits that are kept, as a number with or without a sign
 * @error: return location for an error
 *
 * Clears all bits but some.
 *
 * Returns: what it was before; 0 if @error is set: [error@Mp.Error.TYPE] if it is
 *   no integer, [error@Mp.Error.INVALID_ARGUMENT] if @mask has more bits
 *
 * Since: 0.1
 */
gint64
mp_value_fetch_and (MpValue *self, gint64 mask, GError **error)
{
  return fetch (self, MP_ELEMENT_AND, mask, error);
}

/**
 * mp_value_fetch_or:
 * @self: a value that is an integer
 * @mask: the bits that are set, as a number with or without a sign
 * @error: return location for an error
 *
 * Sets some of its bits.
 *
 * Returns: what it was before; 0 if @error is set as by [method@Mp.Value.fetch_and]
 *
 * Since: 0.1
 */
gint64
mp_value_fetch_or (MpValue *self, gint64 mask, GError **error)
{
  return fetch (self, MP_ELEMENT_OR, mask, error);
}

/**
 * mp_value_fetch_xor:
 * @self: a value that is an integer
 * @mask: the bits that are turned over, as a number with or without a sign
 * @error: return location for an error
 *
 * Turns some of its bits over.
 *
 * Returns: what it was before; 0 if @error is set as by [method@Mp.Value.fetch_and]
 *
 * Since: 0.1
 */
gint64
mp_value_fetch_xor (MpValue *self, gint64 mask, GError **error)
{
  return fetch (self, MP_ELEMENT_XOR, mask, error);
}

/**
 * mp_value_get_value_type: (get-property value-type)
 * @self: a value
 *
 * What it is.
 *
 * Returns: its type
 *
 * Since: 0.1
 */
MpValueType
mp_value_get_value_type (MpValue *self)
{
  g_return_val_if_fail (MP_IS_VALUE (self), MP_VALUE_TYPE_BOOLEAN);

  return self->elements.type;
}

/**
 * mp_value_get_lock: (get-property lock)
 * @self: a value
 *
 * The lock that belongs to it, which is the same one in all processes.
 *
 * Returns: (transfer none) (nullable): the lock, `NULL` if it was made without
 *
 * Since: 0.1
 */
MpRLock *
mp_value_get_lock (MpValue *self)
{
  g_return_val_if_fail (MP_IS_VALUE (self), NULL);

  return self->elements.lock;
}

/**
 * mp_value_get_address:
 * @self: a value
 *
 * Where it is in this process, for bindings that make something of memory: Python's
 * `ctypes`, for instance. It stays there for as long as @self exists.
 *
 * Returns: its address
 *
 * Since: 0.1
 */
gsize
mp_value_get_address (MpValue *self)
{
  g_return_val_if_fail (MP_IS_READY_VALUE (self), 0);

  return (gsize) self->elements.block.memory;
}
