/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Queues, while a hostile process writes into their ring. */

#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../libmp/base/mp-fd-private.h"
#include "../../libmp/channel/mp-queue-private.h"
#include "../../libmp/channel/mp-ring-layout-private.h"
#include "../../libmp/channel/mp-store-layout-private.h"
#include "../../libmp/libmp.h"

#define MAX_OPERATIONS 200
#define MAX_FILE (64 * 1024 * 1024)
#define MAX_MANY 6

const char *const fuzz_name = "fuzz-ring";

static MpQueue *queues[2]; /* of one ring */
static MpLease *leases[3];
static int ring_fd = -1;
static MpRingShared *shared; /* as the hostile process has it */

void
fuzz_setup (void)
{
}

/* --- The hostile process ---------------------------------------------------- */

static guint64
choose_word (FuzzInput *input)
{
  switch (fuzz_choose (input, 10))
    {
    case 0:
      return 0;
    case 1:
      return fuzz_u8 (input);
    case 2:
      return G_MAXUINT64 - fuzz_u8 (input);
    case 3:
      return (guint64) syscall (SYS_gettid) | (guint64) (fuzz_u8 (input) & 0xc0) << 24;
    case 4:
      return shared->head + (guint64) (gint8) fuzz_u8 (input);
    case 5:
      return shared->tail + ((guint64) fuzz_u8 (input) << 32);
    case 6:
      return G_GUINT64_CONSTANT (1) << (fuzz_u8 (input) & 63);
    case 7:
      return (guint64) fuzz_u8 (input) << 32 | fuzz_u16 (input);
    case 8:
      return fuzz_u32 (input);
    default:
      return fuzz_u64 (input);
    }
}

static guint64
get_file_size (void)
{
  return mp_segment_get_size (&(MpSegment){ .fd = ring_fd });
}

static guint64
choose_place (FuzzInput *input)
{
  static const guint16 places[] = {
    G_STRUCT_OFFSET (MpRingShared, put_lock),    G_STRUCT_OFFSET (MpRingShared, put_class),
    G_STRUCT_OFFSET (MpRingShared, put_backed),  G_STRUCT_OFFSET (MpRingShared, put_single),
    G_STRUCT_OFFSET (MpRingShared, tail_cache),  G_STRUCT_OFFSET (MpRingShared, head),
    G_STRUCT_OFFSET (MpRingShared, head) + 4,    G_STRUCT_OFFSET (MpRingShared, get_lock),
    G_STRUCT_OFFSET (MpRingShared, get_class),   G_STRUCT_OFFSET (MpRingShared, head_cache),
    G_STRUCT_OFFSET (MpRingShared, tail),        G_STRUCT_OFFSET (MpRingShared, tail) + 4,
    G_STRUCT_OFFSET (MpRingShared, closed),      G_STRUCT_OFFSET (MpRingShared, trimmed_at),
    G_STRUCT_OFFSET (MpRingShared, getters),     G_STRUCT_OFFSET (MpRingShared, putters),
    G_STRUCT_OFFSET (MpRingShared, getters) + 8, G_STRUCT_OFFSET (MpRingShared, putters) + 8,
    G_STRUCT_OFFSET (MpRingShared, returned),    G_STRUCT_OFFSET (MpRingShared, done),
    G_STRUCT_OFFSET (MpRingShared, done) + 4,    G_STRUCT_OFFSET (MpRingShared, blocks_used),
    G_STRUCT_OFFSET (MpRingShared, sweep_due),
  };
  guint choice = fuzz_choose (input, G_N_ELEMENTS (places) + 16);

  if (choice < G_N_ELEMENTS (places))
    return places[choice];
  /* Of the first blocks, and where to look for them. */
  if (choice >= G_N_ELEMENTS (places) + 12)
    return MP_STORE_OFFSET + (choice % 4 == 0 ? fuzz_u8 (input) : MP_STORE_HEADER_SIZE) +
           8u * (fuzz_u8 (input) % 40);
  if (choice % 3 == 0)
    return G_STRUCT_OFFSET (MpRingShared, classes) + 4u * (fuzz_u8 (input) % 80);
  if (choice % 3 == 1)
    return MP_RING_DATA_OFFSET + 8u * fuzz_u8 (input);
  return fuzz_u32 (input) % MIN (get_file_size (), MAX_FILE);
}

static void
poke (FuzzInput *input)
{
  guint64 place = choose_place (input), word;
  guint8 how = fuzz_u8 (input);
  const guint8 *bytes;
  gsize length;

  if ((how & 3) == 0)
    bytes = fuzz_bytes (input, how >> 2, &length);
  else
    {
      word = choose_word (input);
      bytes = (gpointer) &word;
      length = (how & 3) == 1 ? 4 : 8;
    }
  if ((place + length <= MAX_FILE ||
       (place >= MP_STORE_OFFSET && get_file_size () > MP_STORE_BLOCKS_OFFSET)) &&
      pwrite (ring_fd, bytes, length, (off_t) place) < 0)
    fuzz_fail ("a write failed");
}

/* --- The honest one --------------------------------------------------------- */

static GVariant *
make_value (FuzzInput *input)
{
  guint8 choice = fuzz_u8 (input);
  const guint8 *bytes;
  gpointer zeroes;
  gsize length;

  switch (choice & 3)
    {
    case 0:
      return g_variant_new_int32 (choice);
    case 1:
      return g_variant_new_string ("a few words");
    case 2:
      bytes = fuzz_bytes (input, choice, &length);
      return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, length, 1);
    default:
      length = (gsize) (choice >> 2) * 1500 + 1;
      zeroes = g_malloc0 (length);
      return g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING,
                                      zeroes,
                                      length,
                                      TRUE,
                                      g_free,
                                      zeroes);
    }
}

static void
put_packed (FuzzInput *input, MpQueue *queue, gint64 timeout, GError **error)
{
  guint32 lengths[3] = { fuzz_u8 (input), 0, fuzz_u8 (input) };
  gsize length;
  const guint8 *bytes = fuzz_bytes (input, lengths[0] + lengths[2], &length);

  lengths[2] = (guint32) MIN (lengths[2], length);
  lengths[0] = (guint32) length - lengths[2];
  fuzz_operation ("mp_queue_put_packed", timeout);
  mp_queue_put_packed (queue,
                       bytes,
                       length,
                       (gpointer) lengths,
                       sizeof lengths,
                       MP_CODEC_RAW,
                       timeout,
                       NULL,
                       error);
}

static void
put (FuzzInput *input, MpQueue *queue, gint64 timeout)
{
  GVariant *values[MAX_MANY];
  GError *error = NULL;
  guint n = fuzz_choose (input, MAX_MANY + 2);
  const guint8 *bytes;
  gsize length;

  if (n == 0)
    {
      bytes = fuzz_bytes (input, fuzz_u8 (input), &length);
      fuzz_operation ("mp_queue_put_payload", timeout);
      mp_queue_put_payload (queue, bytes, length, fuzz_choose (input, 4), timeout, NULL, &error);
    }
  else if (n == 1)
    {
      fuzz_operation ("mp_queue_put", timeout);
      mp_queue_put (queue, make_value (input), timeout, NULL, &error);
    }
  else if (n > MAX_MANY)
    put_packed (input, queue, timeout, &error);
  else
    {
      for (guint i = 0; i < n; i++)
        values[i] = g_variant_ref_sink (make_value (input));
      fuzz_operation ("mp_queue_put_many", timeout);
      mp_queue_put_many (queue, values, n, timeout, NULL, &error);
      for (guint i = 0; i < n; i++)
        g_variant_unref (values[i]);
    }
  fuzz_check_error (error);
}

static guint
sum_up (const guint8 *bytes, gsize length)
{
  guint sum = 0;

  for (gsize i = 0; bytes != NULL && i < length; i++)
    sum += bytes[i];
  return sum;
}

static void
get_payload (FuzzInput *input, MpQueue *queue, gint64 timeout, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  const guint8 *data;
  gsize length = 0;
  guint codec = 0;
  int codec_or_not = 0;

  switch (fuzz_choose (input, 4))
    {
    case 0:
      fuzz_operation ("mp_queue_get_payload", timeout);
      data = mp_queue_get_payload (queue, timeout, &length, &codec, NULL, error);
      break;
    case 1:
      fuzz_operation ("mp_queue_try_get_payload", 0);
      data = mp_queue_try_get_payload (queue, &length, &codec_or_not);
      break;
    case 2:
      fuzz_operation ("mp_queue_get_packed", timeout);
      data = mp_queue_get_packed (queue, fuzz_u8 (input) + 1u, timeout, &length, NULL, error);
      break;
    default:
      fuzz_operation ("mp_queue_get_bytes", timeout);
      bytes = mp_queue_get_bytes (queue, timeout, &codec, NULL, error);
      data = bytes != NULL ? g_bytes_get_data (bytes, &length) : NULL;
      break;
    }
  sum_up (data, length);
}

/* What is leased is kept for a while. */
static void
lease (FuzzInput *input, MpQueue *queue, gint64 timeout, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  MpLease **place = &leases[fuzz_choose (input, G_N_ELEMENTS (leases))];

  if (*place != NULL)
    {
      fuzz_operation ("the end of a lease", 0);
      switch (fuzz_choose (input, 3))
        {
        case 0:
          mp_lease_ack (*place, NULL);
          break;
        case 1:
          mp_lease_nack (*place, NULL);
          break;
        default:
          break;
        }
      g_clear_object (place);
    }
  fuzz_operation ("mp_queue_get_leased", timeout);
  *place = mp_queue_get_leased (queue, timeout, NULL, error);
  if (*place != NULL)
    {
      bytes = mp_lease_get_bytes (*place);
      sum_up (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
      fuzz_consume_variant (mp_lease_get_value (*place, NULL));
    }
}

static void
get (FuzzInput *input, MpQueue *queue, gint64 timeout)
{
  GVariant **values;
  GError *error = NULL;
  gsize n = 0;

  switch (fuzz_choose (input, 4))
    {
    case 3:
      lease (input, queue, timeout, &error);
      break;
    case 0:
      fuzz_operation ("mp_queue_get", timeout);
      fuzz_consume_variant (mp_queue_get (queue, timeout, NULL, &error));
      break;
    case 1:
      fuzz_operation ("mp_queue_get_many", timeout);
      values = mp_queue_get_many (queue, fuzz_u8 (input) + 1u, timeout, &n, NULL, &error);
      for (gsize i = 0; i < n; i++)
        fuzz_consume_variant (values[i]);
      g_free (values);
      break;
    default:
      get_payload (input, queue, timeout, &error);
      break;
    }
  fuzz_check_error (error);
}

/* --- Descriptors ------------------------------------------------------------ */

static void
put_fds (FuzzInput *input, MpQueue *queue)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  gint64 timeout = fuzz_timeout (input);
  GError *error = NULL;

  for (guint i = fuzz_choose (input, 4); i > 0; i--)
    g_unix_fd_list_append (fd_list, ring_fd, NULL);
  fuzz_operation ("mp_queue_put_with_fds", timeout);
  mp_queue_put_with_fds (queue, make_value (input), fd_list, timeout, NULL, &error);
  fuzz_check_error (error);
}

static void
get_fds (FuzzInput *input, MpQueue *queue)
{
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (MpShareable) object G_GNUC_UNUSED = NULL;
  gint64 timeout = fuzz_timeout (input);
  GError *error = NULL;

  switch (fuzz_choose (input, 3))
    {
    case 0:
      fuzz_operation ("mp_queue_get_with_fds", timeout);
      fuzz_consume_variant (mp_queue_get_with_fds (queue, timeout, &fd_list, NULL, &error));
      break;
    case 1:
      fuzz_operation ("mp_queue_get_bytes_with_fds", timeout);
      bytes = mp_queue_get_bytes_with_fds (queue, timeout, NULL, &fd_list, NULL, &error);
      break;
    default:
      fuzz_operation ("mp_queue_get_shareable", timeout);
      object = mp_queue_get_shareable (queue, timeout, NULL, &error);
      break;
    }
  fuzz_check_error (error);
}

/* What the hostile process can do besides writing. */
static void
send_packet (FuzzInput *input, MpQueue *queue)
{
  MpFdTicket ticket = { .number = shared->fd_ticket + (guint32) (gint8) fuzz_u8 (input),
                        .n_fds = fuzz_choose (input, 4) };
  const int fds[] = { ring_fd, ring_fd, ring_fd };
  gsize length = fuzz_choose (input, 4) != 0 ? sizeof ticket : fuzz_u8 (input) % sizeof ticket;

  mp_fd_try_send_message (queue->ring->fd_sender, &ticket, length, fds, fuzz_choose (input, 4));
}

static void
steal_packet (MpQueue *queue)
{
  guint8 byte;

  recv (queue->ring->fd_receiver, &byte, sizeof byte, MSG_DONTWAIT);
}

static void
operate_on_fds (FuzzInput *input, MpQueue *queue)
{
  switch (fuzz_choose (input, 6))
    {
    case 0:
      send_packet (input, queue);
      break;
    case 1:
      steal_packet (queue);
      break;
    case 2:
      shared->fd_ticket = fuzz_u32 (input);
      break;
    case 3:
      shared->fd_gone = fuzz_u32 (input);
      break;
    case 4:
      put_fds (input, queue);
      break;
    default:
      get_fds (input, queue);
      break;
    }
}

static gboolean
on_ready (MpQueue *queue, gpointer user_data)
{
  return G_SOURCE_REMOVE;
}

static void
iterate (MpQueue *queue)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GSource) source = mp_queue_create_source (queue, NULL);

  fuzz_operation ("a source", 0);
  g_source_set_callback (source, G_SOURCE_FUNC (on_ready), NULL, NULL);
  g_source_attach (source, context);
  g_main_context_iteration (context, FALSE);
  g_source_destroy (source);
}

static void
operate (FuzzInput *input)
{
  guint8 choice = fuzz_u8 (input);
  MpQueue *queue = queues[choice >> 7];
  gint64 timeout;

  switch (choice & 15)
    {
    case 0:
    case 1:
    case 2:
      put (input, queue, fuzz_timeout (input));
      break;
    case 3:
    case 4:
    case 5:
      get (input, queue, fuzz_timeout (input));
      break;
    case 6:
      fuzz_operation ("properties", 0);
      fuzz_read_properties (queue);
      break;
    case 7:
      timeout = fuzz_timeout (input);
      fuzz_operation ("mp_queue_wait_ready", timeout);
      mp_queue_wait_ready (queue, (choice & 0x40) != 0 ? G_IO_OUT : G_IO_IN, timeout);
      break;
    case 8:
      fuzz_operation ("mp_queue_poke", 0);
      mp_queue_poke (queue);
      if ((choice & 0x70) == 0x70)
        mp_queue_close (queue);
      break;
    case 9:
      iterate (queue);
      break;
    default:
      /* So rare that inputs from before there were descriptors mean what they did. */
      if (fuzz_has_more (input) && input->data[input->at] >= 0xf8)
        {
          fuzz_u8 (input);
          operate_on_fds (input, queue);
        }
      else
        poke (input);
      break;
    }
}

/* --- Beginning and end ------------------------------------------------------ */

static void
make_queues (FuzzInput *input)
{
  static const guint bounds[][2] = { { 0, 0 }, { 3, 0 }, { 0, 4096 }, { 2, 300 }, { 1, 20000 } };
  guint choice = fuzz_choose (input, G_N_ELEMENTS (bounds));
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;

  queues[0] = mp_queue_new_carrying_fds (bounds[choice][0], bounds[choice][1], NULL);
  handle = mp_shareable_to_handle (MP_SHAREABLE (queues[0]), fd_list, NULL);
  queues[1] = MP_QUEUE (mp_shareable_new_from_handle (handle, fd_list, NULL));
  ring_fd = g_unix_fd_list_get (fd_list, 0, NULL);
  shared = mp_segment_map (&(MpSegment){ .fd = ring_fd }, 0, sizeof *shared);
}

/* What the honest process maps has another address. */
static void
note_stalls (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (queues); i++)
    {
      MpRing *ring = queues[i]->ring;

      fuzz_may_stall (&ring->shared->put_lock, FUTEX_OWNER_DIED);
      fuzz_may_stall (&ring->shared->get_lock, FUTEX_OWNER_DIED);
    }
}

void
fuzz_run (FuzzInput *input)
{
  make_queues (input);
  note_stalls ();
  fuzz_begin (input, poke);
  for (guint i = 0; i < MAX_OPERATIONS && fuzz_has_more (input); i++)
    operate (input);
  fuzz_operation ("dropping everything", 0);
  for (guint i = 0; i < G_N_ELEMENTS (leases); i++)
    g_clear_object (&leases[i]);
  for (guint i = 0; i < G_N_ELEMENTS (queues); i++)
    g_clear_object (&queues[i]);
  munmap (shared, sizeof *shared);
  close (ring_fd);
  fuzz_forget_stalls ();
  fuzz_end ();
}
