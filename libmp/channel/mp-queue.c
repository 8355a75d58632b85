/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-buffer-private.h"
#include "mp-queue-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error-private.h"
#include "../base/mp-payload-private.h"
#include "../memory/mp-shareable-private.h"

#define KIND_NAME "queue"

/**
 * MpQueue:
 *
 * A first-in first-out queue of messages between any number of threads and
 * processes.
 *
 * Messages are variants, or bytes that are tagged with a [enum@Mp.Codec]. They
 * travel through shared memory: putting one and getting it again takes some
 * dozen nanoseconds, and no system call unless somebody sleeps.
 *
 * A queue reaches another process as a [iface@Mp.Shareable], for instance in
 * the arguments of a process that is started. All ends are equal: it exists
 * until nobody has it any more.
 *
 * # Bounds
 *
 * A queue can be bounded by the number of its messages,
 * [property@Mp.Queue:max-items], and by their size,
 * [property@Mp.Queue:max-bytes]. Where there is no bound on bytes, the queue
 * grows while there is memory, and shrinks again when it was emptied. A message
 * may be of any size up to four gigabytes that the bound allows: one that can
 * never fit is [error@Mp.Error.LIMIT]. Each message counts as its length,
 * rounded up to a multiple of eight, plus eight; a single one of exactly
 * `max-bytes` fits.
 *
 * # Waiting
 *
 * Timeouts are in microseconds: -1 waits for ever, 0 not at all. A call that
 * ran out of time or was cancelled did nothing: nothing was put, nothing was
 * taken. An asynchronous get whose result nobody fetched puts its message back,
 * at the end of the queue, whatever the bounds.
 *
 * # Work that is done
 *
 * Every message that was put is unfinished until somebody, who as a rule has taken
 * it, calls [method@Mp.Queue.task_done]. [method@Mp.Queue.join] waits until none is.
 * Who uses neither need not care.
 *
 * For work that must not get lost there are leases, see
 * [method@Mp.Queue.get_leased]: a message that is lent comes back when the process
 * dies that has it, and acknowledging it is the same as saying that it is done.
 *
 * # Long messages
 *
 * What is longer than some pages does not go through the queue's ring, but lies in memory of its
 * own, which is used again and again, some MiB of it in turns. It can be filled and read
 * there without any copy: [method@Mp.Queue.loan], [method@Mp.Queue.get_buffer]. There are
 * 4096 such places; when all are in use, and where the queue is bounded by bytes, long messages
 * are copied like others. Of the memory that is not in use, 64 MiB are kept for as long as
 * there is the queue. More is kept for two seconds while somebody uses the queue or waits, and
 * whoever takes the last message gives back at once what is more than four such messages; but
 * not twice in two seconds, unless it is more than a gigabyte.
 *
 * Of the memory for other messages some 256 KiB are kept, and what a second burst within a tenth
 * of a second has left, up to 16 MiB, until the next message is taken, or a second has been
 * waited for one. A queue that is bounded by bytes keeps as many as were once used.
 *
 * # Descriptors
 *
 * A queue that is made for it ([ctor@Mp.Queue.new_carrying_fds]) carries descriptors, and other
 * objects that are shared by such, inside of messages: [method@Mp.Queue.put_with_fds].
 *
 * # When processes die
 *
 * Any process may be killed at any moment, without harm to the others. What a
 * finished put has put is in the queue. A put that was interrupted by death
 * happened completely or not at all, and so did a whole
 * [method@Mp.Queue.put_many]. No message is delivered twice, and only what the
 * dead process had already taken is lost. Whoever sees a process die may call
 * [method@Mp.Queue.poke], lest others notice only after a second what it had
 * put but not yet announced.
 *
 * # Threads
 *
 * All functions can be called from any thread. A child of fork() can use the
 * queues of its parent.
 *
 * Since: 0.1
 */

enum
{
  PROP_0,
  PROP_MAX_ITEMS,
  PROP_MAX_BYTES,
  PROP_LENGTH,
  PROP_CLOSED,
  PROP_UNFINISHED,
  PROP_N_LEASED,
  PROP_MAX_DELIVERIES,
  PROP_DEAD_LETTERS,
  PROP_CARRIES_FDS,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

GType mp_queue_type;

static void mp_queue_initable_iface_init (GInitableIface *iface);
static void mp_queue_shareable_iface_init (MpShareableInterface *iface);
static void mp_queue_waitable_iface_init (MpWaitableInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpQueue,
                               mp_queue,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, mp_queue_initable_iface_init)
                                 G_IMPLEMENT_INTERFACE (MP_TYPE_SHAREABLE,
                                                        mp_queue_shareable_iface_init)
                                   G_IMPLEMENT_INTERFACE (MP_TYPE_WAITABLE,
                                                          mp_queue_waitable_iface_init))

static void
mp_queue_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpQueue *self = MP_QUEUE (object);

  switch (prop_id)
    {
    case PROP_MAX_ITEMS:
      g_value_set_uint (value, mp_queue_get_max_items (self));
      break;
    case PROP_MAX_BYTES:
      g_value_set_uint64 (value, mp_queue_get_max_bytes (self));
      break;
    case PROP_LENGTH:
      g_value_set_uint (value, mp_queue_get_length (self));
      break;
    case PROP_CLOSED:
      g_value_set_boolean (value, mp_queue_get_closed (self));
      break;
    case PROP_UNFINISHED:
      g_value_set_uint (value, mp_queue_get_unfinished (self));
      break;
    case PROP_N_LEASED:
      g_value_set_uint (value, mp_queue_get_n_leased (self));
      break;
    case PROP_MAX_DELIVERIES:
      g_value_set_uint (value, self->max_deliveries);
      break;
    case PROP_DEAD_LETTERS:
      g_value_set_object (value, self->dead_letters);
      break;
    case PROP_CARRIES_FDS:
      g_value_set_boolean (value, self->carries_fds);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_queue_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  MpQueue *self = MP_QUEUE (object);

  switch (prop_id)
    {
    case PROP_MAX_ITEMS:
      self->max_items = g_value_get_uint (value);
      break;
    case PROP_MAX_BYTES:
      self->max_bytes = g_value_get_uint64 (value);
      break;
    case PROP_MAX_DELIVERIES:
      self->max_deliveries = g_value_get_uint (value);
      break;
    case PROP_DEAD_LETTERS:
      self->dead_letters = g_value_dup_object (value);
      break;
    case PROP_CARRIES_FDS:
      self->carries_fds = g_value_get_boolean (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_queue_finalize (GObject *object)
{
  MpQueue *self = MP_QUEUE (object);

  g_clear_pointer (&self->ring, mp_ring_unref);
  g_clear_object (&self->dead_letters);
  G_OBJECT_CLASS (mp_queue_parent_class)->finalize (object);
}

static void
mp_queue_class_init (MpQueueClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  mp_queue_type = G_TYPE_FROM_CLASS (klass);

  object_class->get_property = mp_queue_get_property;
  object_class->set_property = mp_queue_set_property;
  object_class->finalize = mp_queue_finalize;

  /**
   * MpQueue:max-items: (getter get_max_items)
   *
   * How many messages it holds at most; 0: no bound.
   *
   * Since: 0.1
   */
  properties[PROP_MAX_ITEMS] =
    g_param_spec_uint ("max-items",
                       NULL,
                       NULL,
                       0,
                       G_MAXUINT,
                       0,
                       G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * MpQueue:max-bytes: (getter get_max_bytes)
   *
   * How many bytes it holds at most; 0: no bound. See [class@Mp.Queue] for how
   * messages are counted.
   *
   * Since: 0.1
   */
  properties[PROP_MAX_BYTES] =
    g_param_spec_uint64 ("max-bytes",
                         NULL,
                         NULL,
                         0,
                         G_MAXUINT64,
                         0,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * MpQueue:length: (getter get_length)
   *
   * How many messages are in it. Other processes change it: there is no
   * notification.
   *
   * Since: 0.1
   */
  properties[PROP_LENGTH] = g_param_spec_uint ("length",
                                               NULL,
                                               NULL,
                                               0,
                                               G_MAXUINT,
                                               0,
                                               G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * MpQueue:closed: (getter get_closed)
   *
   * Whether it was closed, by whomever. There is a notification only for
   * [method@Mp.Queue.close] and [method@Mp.Queue.close_sides] on this object.
   *
   * Since: 0.1
   */
  properties[PROP_CLOSED] =
    g_param_spec_boolean ("closed",
                          NULL,
                          NULL,
                          FALSE,
                          G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);
  /**
   * MpQueue:unfinished: (getter get_unfinished)
   *
   * How many messages were put that nobody has called
   * [method@Mp.Queue.task_done] for. There is no notification.
   *
   * Since: 0.1
   */
  properties[PROP_UNFINISHED] = g_param_spec_uint ("unfinished",
                                                   NULL,
                                                   NULL,
                                                   0,
                                                   G_MAXUINT,
                                                   0,
                                                   G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * MpQueue:n-leased: (getter get_n_leased)
   *
   * How many messages are lent. There is no notification.
   *
   * Since: 0.1
   */
  properties[PROP_N_LEASED] = g_param_spec_uint ("n-leased",
                                                 NULL,
                                                 NULL,
                                                 0,
                                                 G_MAXUINT,
                                                 0,
                                                 G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * MpQueue:max-deliveries: (getter get_max_deliveries)
   *
   * How often a message is lent at most, see [method@Mp.Queue.get_leased]; 0: no
   * bound. When it comes back after that, it goes to
   * [property@Mp.Queue:dead-letters], or is dropped with a warning.
   *
   * Since: 0.1
   */
  properties[PROP_MAX_DELIVERIES] =
    g_param_spec_uint ("max-deliveries",
                       NULL,
                       NULL,
                       0,
                       G_MAXUINT,
                       0,
                       G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * MpQueue:dead-letters: (getter get_dead_letters)
   *
   * Where messages go that were lent [property@Mp.Queue:max-deliveries] times and
   * never acknowledged. It travels with the queue. Should the process die that
   * moves one, it may be there twice.
   *
   * Since: 0.1
   */
  properties[PROP_DEAD_LETTERS] =
    g_param_spec_object ("dead-letters",
                         NULL,
                         NULL,
                         MP_TYPE_QUEUE,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * MpQueue:carries-fds: (getter get_carries_fds)
   *
   * Whether descriptors can be put into it, see [method@Mp.Queue.put_with_fds]. It has two
   * more itself then.
   *
   * Since: 0.1
   */
  properties[PROP_CARRIES_FDS] =
    g_param_spec_boolean ("carries-fds",
                          NULL,
                          NULL,
                          FALSE,
                          G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_queue_init (MpQueue *self)
{
}

static gboolean
mp_queue_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  MpQueue *self = MP_QUEUE (initable);
  g_autoptr (MpRing) ring = NULL;

  if (self->ring != NULL)
    return TRUE;
  if (self->dead_letters != NULL && self->dead_letters->ring == NULL)
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_INVALID_ARGUMENT,
                           "The queue for dead letters was not initialised");
      return FALSE;
    }
  ring = mp_ring_new_full (self->max_items, self->max_bytes, self->max_deliveries, error);
  if (ring == NULL || (self->carries_fds && !mp_ring_carry_fds (ring, error)))
    return FALSE;
  if (self->dead_letters != NULL)
    mp_ring_set_dead_letters (ring, self->dead_letters->ring);
  self->ring = g_steal_pointer (&ring);
  return TRUE;
}

static void
mp_queue_initable_iface_init (GInitableIface *iface)
{
  iface->init = mp_queue_initable_init;
}

static GVariant *
mp_queue_to_handle (MpShareable *shareable, GUnixFDList *fd_list, GError **error)
{
  MpQueue *self = MP_QUEUE (shareable);

  g_return_val_if_fail (self->ring != NULL, NULL);
  return mp_ring_to_handle_of_kind (self->ring, KIND_NAME, fd_list, error);
}

static void
mp_queue_shareable_iface_init (MpShareableInterface *iface)
{
  iface->to_handle = mp_queue_to_handle;
}

static gboolean
mp_queue_prepare (MpWaitable *waitable, GPollFD *poll)
{
  MpQueue *self = MP_QUEUE (waitable);

  *poll = (GPollFD){ .fd = mp_queue_get_fd (self, G_IO_IN), .events = G_IO_IN };
  return mp_queue_arm (self, G_IO_IN);
}

static void
mp_queue_waitable_iface_init (MpWaitableInterface *iface)
{
  iface->prepare = mp_queue_prepare;
}

static MpQueue *
wrap_ring (MpRing *ring)
{
  MpRing *dead_ring = mp_ring_get_dead_letters (ring);
  g_autoptr (MpQueue) dead_letters = dead_ring != NULL ? wrap_ring (dead_ring) : NULL;
  MpQueue *self = g_object_new (MP_TYPE_QUEUE,
                                "max-items",
                                mp_ring_get_max_items (ring),
                                "max-bytes",
                                mp_ring_get_max_bytes (ring),
                                "max-deliveries",
                                mp_ring_get_max_deliveries (ring),
                                "dead-letters",
                                dead_letters,
                                "carries-fds",
                                mp_ring_carries_fds (ring),
                                NULL);

  self->ring = mp_ring_ref (ring);
  return self;
}

static MpShareable *
mp_queue_import (GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  g_autoptr (MpRing) ring = mp_ring_new_from_handle_of_kind (KIND_NAME, handle, fd_list, error);

  return ring != NULL ? MP_SHAREABLE (wrap_ring (ring)) : NULL;
}

__attribute__ ((constructor)) static void
register_kind (void)
{
  mp_shareable_register_kind (KIND_NAME, mp_queue_import);
}

/**
 * mp_queue_new:
 * @max_items: how many messages it holds at most, 0 for no bound
 * @max_bytes: how many bytes it holds at most, 0 for no bound
 * @error: return location for an error
 *
 * Makes an empty queue.
 *
 * Returns: (transfer full) (nullable): the queue, or `NULL` with @error set:
 *   [error@Mp.Error.LIMIT] if there is no memory or no file descriptor left,
 *   [error@Mp.Error.INVALID_ARGUMENT] if @max_bytes is beyond what can be
 *
 * Since: 0.1
 */
MpQueue *
mp_queue_new (guint max_items, guint64 max_bytes, GError **error)
{
  return mp_queue_new_full (max_items, max_bytes, 0, NULL, error);
}

/**
 * mp_queue_new_full:
 * @max_items: how many messages it holds at most, 0 for no bound
 * @max_bytes: how many bytes it holds at most, 0 for no bound
 * @max_deliveries: how often a message is lent at most, 0 for no bound
 * @dead_letters: (nullable): where those go that were lent so often
 * @error: return location for an error
 *
 * Makes an empty queue for leases, see [method@Mp.Queue.get_leased].
 *
 * Returns: (transfer full) (nullable): the queue, or `NULL` with @error set as by
 *   [ctor@Mp.Queue.new]
 *
 * Since: 0.1
 */
MpQueue *
mp_queue_new_full (guint max_items,
                   guint64 max_bytes,
                   guint max_deliveries,
                   MpQueue *dead_letters,
                   GError **error)
{
  g_return_val_if_fail (dead_letters == NULL || MP_IS_QUEUE (dead_letters), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (MP_TYPE_QUEUE,
                         NULL,
                         error,
                         "max-items",
                         max_items,
                         "max-bytes",
                         max_bytes,
                         "max-deliveries",
                         max_deliveries,
                         "dead-letters",
                         dead_letters,
                         NULL);
}

/* Putting */

MpRingStatus
mp_queue_put_records (MpQueue *self,
                      const MpRecord *records,
                      gsize n_records,
                      gint64 timeout_us,
                      GCancellable *cancellable)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  MpRingStatus status;

  if (cancellable != NULL && g_cancellable_is_cancelled (cancellable))
    return MP_RING_INTERRUPTED;
  do
    status = mp_ring_put_full (self->ring, records, n_records, 0, deadline, cancellable);
  while (G_UNLIKELY (status == MP_RING_INTERRUPTED) && !g_cancellable_is_cancelled (cancellable));
  return status;
}

/**
 * mp_queue_put:
 * @self: a queue
 * @value: the message; if it is floating, it is consumed
 * @timeout_us: how long to wait for room: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Puts a message at the end of the queue.
 *
 * Returns: whether it was put; if not, nothing happened, and @error is set:
 *   [error@Mp.Error.FULL] if there was no room in time,
 *   [error@Mp.Error.CLOSED], [error@Mp.Error.LIMIT] if it can never fit or there
 *   is no memory, [error@Mp.Error.CORRUPT], `G_IO_ERROR_CANCELLED`
 *
 * Since: 0.1
 */
gboolean
mp_queue_put (MpQueue *self,
              GVariant *value,
              gint64 timeout_us,
              GCancellable *cancellable,
              GError **error)
{
  g_autoptr (GVariant) box = NULL;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), FALSE);
  g_return_val_if_fail (value != NULL, FALSE);

  box = g_variant_ref_sink (g_variant_new_variant (value));
  return mp_queue_put_payload (self,
                               g_variant_get_data (box),
                               g_variant_get_size (box),
                               MP_CODEC_GVARIANT,
                               timeout_us,
                               cancellable,
                               error);
}

/**
 * mp_queue_put_many:
 * @self: a queue
 * @values: (array length=n_values): the messages; those that are floating are consumed
 * @n_values: how many there are
 * @timeout_us: how long to wait for room: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Puts several messages at the end of the queue, one directly after the other:
 * all or none, also if this process is killed meanwhile.
 *
 * Returns: whether they were put; if not, nothing happened, and @error is set
 *   as by [method@Mp.Queue.put]
 *
 * Since: 0.1
 */
gboolean
mp_queue_put_many (MpQueue *self,
                   GVariant **values,
                   gsize n_values,
                   gint64 timeout_us,
                   GCancellable *cancellable,
                   GError **error)
{
  g_autofree MpRecord *records = NULL;
  g_autofree GOutputVector *parts = NULL;
  g_autofree GVariant **boxes = NULL;
  MpRingStatus status;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), FALSE);
  g_return_val_if_fail (values != NULL || n_values == 0, FALSE);

  records = g_new (MpRecord, n_values);
  parts = g_new (GOutputVector, n_values);
  boxes = g_new (GVariant *, n_values);
  for (gsize i = 0; i < n_values; i++)
    {
      boxes[i] = g_variant_ref_sink (g_variant_new_variant (values[i]));
      parts[i].size = g_variant_get_size (boxes[i]);
      parts[i].buffer = g_variant_get_data (boxes[i]);
      records[i] = (MpRecord){ .parts = &parts[i], .n_parts = 1, .codec = MP_CODEC_GVARIANT };
    }
  status = mp_queue_put_records (self, records, n_values, timeout_us, cancellable);
  for (gsize i = 0; i < n_values; i++)
    g_variant_unref (boxes[i]);
  return status == MP_RING_DONE || mp_ring_set_error (error, self->ring, status, TRUE);
}

/* Getting */

MpRingStatus
mp_queue_take (MpQueue *self,
               gsize max_items,
               MpRingTake take,
               gpointer user_data,
               gint64 timeout_us,
               GCancellable *cancellable,
               gsize *n_taken)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  MpRingStatus status;

  if (cancellable != NULL && g_cancellable_is_cancelled (cancellable))
    return MP_RING_INTERRUPTED;
  do
    status = mp_ring_take (self->ring,
                           MIN (max_items, MP_QUEUE_MAX_BATCH_ITEMS),
                           MP_QUEUE_MAX_BATCH_BYTES,
                           take,
                           user_data,
                           deadline,
                           cancellable,
                           n_taken);
  while (G_UNLIKELY (status == MP_RING_INTERRUPTED) && !g_cancellable_is_cancelled (cancellable));
  return status;
}

static void
item_clear (gpointer data)
{
  MpQueueItem *item = data;

  g_clear_pointer (&item->bytes, g_bytes_unref);
}

/* Puts one MpQueueItem into the GArray @user_data. It refuses what only Python can read,
 * so that it stays for whoever can. */
static gboolean
take_item (gpointer user_data,
           guint32 seq,
           guint32 n_ready,
           MpCodec codec,
           const guint8 *data,
           gsize length)
{
  GArray *items = user_data;
  MpQueueItem item = { .codec = codec };

  if (!mp_queue_is_readable (codec))
    return FALSE;
  item.bytes = mp_queue_copy_bytes (data, length);
  if (item.bytes == NULL)
    return FALSE;
  g_array_append_val (items, item);
  return TRUE;
}

/* The values of @items, a `NULL`-terminated array. What is no value is dropped:
 * it would be in everybody's way for ever. */
static GVariant **
convert_items (GArray *items, gsize *n_values, GError **error)
{
  g_autofree GVariant **values = g_new0 (GVariant *, items->len + 1);
  gsize n = 0;

  for (guint i = 0; i < items->len; i++)
    {
      const MpQueueItem *item = &g_array_index (items, MpQueueItem, i);
      g_autoptr (GError) local_error = NULL;
      gsize length;
      const guint8 *data = g_bytes_get_data (item->bytes, &length);

      values[n] = mp_payload_to_variant (data, length, item->codec, &local_error);
      if (values[n] != NULL)
        n++;
      else if (items->len > 1)
        g_warning ("Dropping a message: %s", local_error->message);
      else
        g_propagate_error (error, g_steal_pointer (&local_error));
    }
  *n_values = n;
  if (n > 0)
    return g_steal_pointer (&values);
  if (error != NULL && *error == NULL)
    g_set_error_literal (error, MP_ERROR, MP_ERROR_CORRUPT, "None of the messages is a value");
  return NULL;
}

/**
 * mp_queue_get:
 * @self: a queue
 * @timeout_us: how long to wait for a message: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Takes the first message.
 *
 * One that was put as raw bytes is given as an `ay`, and JSON as an `s`. If the
 * first message is a Python pickle, the call fails with
 * [error@Mp.Error.NOT_SUPPORTED] and leaves it; [method@Mp.Queue.get_payload]
 * can take it.
 *
 * Returns: (transfer full) (nullable): the message, never floating, or `NULL` with
 *   @error set and nothing taken: [error@Mp.Error.EMPTY] if there was none in
 *   time, [error@Mp.Error.CLOSED] if it is closed and empty,
 *   `G_IO_ERROR_CANCELLED`. Only a message that is not what its codec says is taken
 *   away and gives [error@Mp.Error.CORRUPT].
 *
 * Since: 0.1
 */
GVariant *
mp_queue_get (MpQueue *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  g_autoptr (MpRingBlock) block = NULL;
  MpQueueScratched message = { .data = NULL };
  MpRingStatus status;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  status =
    mp_queue_borrow (self, mp_queue_take_readable, &message, timeout_us, cancellable, &block);
  if (block != NULL)
    {
      g_autoptr (GBytes) bytes = mp_ring_block_to_bytes (block);

      return mp_payload_shared_to_variant (bytes, message.codec, error);
    }
  if (status == MP_RING_DONE)
    return mp_payload_to_variant (message.data, message.length, message.codec, error);
  mp_ring_set_error (error, self->ring, status, FALSE);
  return NULL;
}

/**
 * mp_queue_get_many:
 * @self: a queue
 * @max_items: how many messages to take at most, at least 1
 * @timeout_us: how long to wait for the first: microseconds, -1 for ever, 0 not at all
 * @n_values: (out): how many there are
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Takes what messages there are, but waits for the first. Only as many are taken
 * at once as are reasonable, 65536 or so many as have 16 MiB together, and none
 * behind a Python pickle, see [method@Mp.Queue.get].
 *
 * Returns: (transfer full) (array length=n_values) (nullable): the messages, or
 *   `NULL` with @error set as by [method@Mp.Queue.get]
 *
 * Since: 0.1
 */
GVariant **
mp_queue_get_many (MpQueue *self,
                   guint max_items,
                   gint64 timeout_us,
                   gsize *n_values,
                   GCancellable *cancellable,
                   GError **error)
{
  g_autoptr (GArray) items = NULL;
  MpRingStatus status;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), NULL);
  g_return_val_if_fail (max_items > 0 && n_values != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  *n_values = 0;
  items = g_array_new (FALSE, FALSE, sizeof (MpQueueItem));
  g_array_set_clear_func (items, item_clear);
  status = mp_queue_take (self, max_items, take_item, items, timeout_us, cancellable, NULL);
  if (status == MP_RING_DONE)
    return convert_items (items, n_values, error);
  mp_ring_set_error (error, self->ring, status, FALSE);
  return NULL;
}
