/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-lease-private.h"

#include "../base/mp-error.h"
#include "../base/mp-payload-private.h"
#include "mp-buffer-private.h"

/**
 * MpLease:
 *
 * A message that is lent to this process until it is dealt with, see
 * [method@Mp.Queue.get_leased].
 *
 * It is owed: [method@Mp.Lease.ack] says that it is done, and then it is gone for
 * good. [method@Mp.Lease.nack] gives it back to the queue, and so do the last
 * reference and the death of the process, at whatever instruction it was. What came
 * back is the next that is taken from the queue, by whomever. A message may thus be
 * delivered again although all of the work was done except for the ack: work that
 * must not be done twice looks at [property@Mp.Lease:deliveries].
 *
 * A lease belongs to the process that took it: in a child of fork() it can be read, and
 * nothing else.
 *
 * Thread-safe.
 *
 * Since: 0.1
 */

struct _MpLease
{
  GObject parent_instance;

  MpRingBlock *block;
};

enum
{
  PROP_0,
  PROP_CODEC,
  PROP_DELIVERIES,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE (MpLease, mp_lease, G_TYPE_OBJECT)

static void
mp_lease_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpLease *self = MP_LEASE (object);

  switch (prop_id)
    {
    case PROP_CODEC:
      g_value_set_enum (value, (int) mp_lease_get_codec (self));
      break;
    case PROP_DELIVERIES:
      g_value_set_uint (value, mp_lease_get_deliveries (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_lease_finalize (GObject *object)
{
  MpLease *self = MP_LEASE (object);

  g_clear_pointer (&self->block, mp_ring_block_unref);
  G_OBJECT_CLASS (mp_lease_parent_class)->finalize (object);
}

static void
mp_lease_class_init (MpLeaseClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = mp_lease_get_property;
  object_class->finalize = mp_lease_finalize;

  /**
   * MpLease:codec: (getter get_codec)
   *
   * What the bytes of the message are.
   *
   * Since: 0.1
   */
  properties[PROP_CODEC] = g_param_spec_enum ("codec",
                                              NULL,
                                              NULL,
                                              MP_TYPE_CODEC,
                                              MP_CODEC_RAW,
                                              G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * MpLease:deliveries: (getter get_deliveries)
   *
   * How often the message was delivered, this time included.
   *
   * Since: 0.1
   */
  properties[PROP_DELIVERIES] = g_param_spec_uint ("deliveries",
                                                   NULL,
                                                   NULL,
                                                   0,
                                                   G_MAXUINT,
                                                   0,
                                                   G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_lease_init (MpLease *self)
{
}

MpLease *
mp_lease_new (MpRingBlock *block)
{
  MpLease *self = g_object_new (MP_TYPE_LEASE, NULL);

  self->block = block;
  return self;
}

static gboolean
set_error_not_ours (MpLease *self, GError **error)
{
  const char *why = mp_ring_block_is_spent (self->block)  ? "has gone back to its queue"
                    : mp_ring_block_is_ours (self->block) ? "was acknowledged already"
                                                          : "was lent to another process";

  g_set_error (error, MP_ERROR, MP_ERROR_NOT_OWNER, "The message %s", why);
  return FALSE;
}

/**
 * mp_lease_ack:
 * @self: a lease
 * @error: return location for an error
 *
 * Says that the message is dealt with: it is gone, and counts as done for
 * [method@Mp.Queue.join].
 *
 * Returns: whether it was acknowledged; if not, @error is set to
 *   [error@Mp.Error.NOT_OWNER]: it was before, or it has gone back
 *
 * Since: 0.1
 */
gboolean
mp_lease_ack (MpLease *self, GError **error)
{
  g_return_val_if_fail (MP_IS_LEASE (self) && self->block != NULL, FALSE);

  return mp_ring_block_ack (self->block) || set_error_not_ours (self, error);
}

/**
 * mp_lease_nack:
 * @self: a lease
 * @error: return location for an error
 *
 * Gives the message back to its queue, from which it is taken again before all
 * others. What [method@Mp.Lease.get_bytes] gave must not be used any more.
 *
 * Returns: whether it went back; if not, @error is set to [error@Mp.Error.NOT_OWNER]:
 *   it was acknowledged, or has gone back before
 *
 * Since: 0.1
 */
gboolean
mp_lease_nack (MpLease *self, GError **error)
{
  g_return_val_if_fail (MP_IS_LEASE (self) && self->block != NULL, FALSE);

  return mp_ring_block_nack (self->block) || set_error_not_ours (self, error);
}

/**
 * mp_lease_get_value:
 * @self: a lease
 * @error: return location for an error
 *
 * The message, as [method@Mp.Queue.get] gives it.
 *
 * Returns: (transfer full) (nullable): the value, never floating, or `NULL` with @error
 *   set: [error@Mp.Error.NOT_SUPPORTED] if it is a Python pickle,
 *   [error@Mp.Error.CORRUPT] if it is not what its codec says,
 *   [error@Mp.Error.NOT_OWNER] if it has gone back
 *
 * Since: 0.1
 */
GVariant *
mp_lease_get_value (MpLease *self, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;

  g_return_val_if_fail (MP_IS_LEASE (self) && self->block != NULL, NULL);

  if (mp_ring_block_is_spent (self->block))
    {
      set_error_not_ours (self, error);
      return NULL;
    }
  /* A copy: the value may live longer than the lease, whose memory another consumer
   * gets if it goes back. */
  bytes =
    g_bytes_new (mp_ring_block_get_data (self->block), mp_ring_block_get_length (self->block));
  return mp_payload_bytes_to_variant (bytes, mp_ring_block_get_codec (self->block), error);
}

/**
 * mp_lease_get_bytes:
 * @self: a lease
 *
 * The bytes of the message, in the form in which it travelled, without a copy. They may
 * be kept after the ack, but not after the message has gone back.
 *
 * Returns: (transfer full): the bytes
 *
 * Since: 0.1
 */
GBytes *
mp_lease_get_bytes (MpLease *self)
{
  g_return_val_if_fail (MP_IS_LEASE (self) && self->block != NULL, NULL);

  return mp_ring_block_to_bytes (self->block);
}

/**
 * mp_lease_get_codec: (get-property codec)
 * @self: a lease
 *
 * What the bytes of the message are.
 *
 * Returns: the codec
 *
 * Since: 0.1
 */
MpCodec
mp_lease_get_codec (MpLease *self)
{
  g_return_val_if_fail (MP_IS_LEASE (self), MP_CODEC_RAW);

  return self->block != NULL ? mp_ring_block_get_codec (self->block) : MP_CODEC_RAW;
}

/**
 * mp_lease_get_deliveries: (get-property deliveries)
 * @self: a lease
 *
 * How often the message was delivered, this time included: more than 1 if it came back.
 *
 * Returns: the number of deliveries
 *
 * Since: 0.1
 */
guint
mp_lease_get_deliveries (MpLease *self)
{
  g_return_val_if_fail (MP_IS_LEASE (self), 0);

  return self->block != NULL ? mp_ring_block_get_deliveries (self->block) : 0;
}
