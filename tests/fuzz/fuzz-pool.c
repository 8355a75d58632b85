/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Either a pool, one of whose workers is hostile: it answers tasks that it does not have, with
 * whatever it likes, and writes into what the pool shares with its workers. Or a worker, whose
 * tasks are written by somebody hostile: another worker of its pool. There are no processes,
 * and the pump never runs. */

#include "fuzz.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "../../libmp/base/mp-clock-private.h"
#include "../../libmp/channel/mp-ring-layout-private.h"
#include "../../libmp/channel/mp-store-layout-private.h"
#include "../../libmp/libmp.h"
#include "../../libmp/pool/mp-pool-private.h"

#define MAX_OPERATIONS 120
#define MAX_JOBS 3
#define MAX_TASKS 16
#define N_WORKERS 2

const char *const fuzz_name = "fuzz-pool";

static MpContext *context;
static MpPoolCore *core;
static MpJobCore *jobs[MAX_JOBS];
static guint n_jobs;
static int results_fd;

void
fuzz_setup (void)
{
  context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
}

/* --- The hostile worker ------------------------------------------------------ */

/* A payload of some kind, short or so long that it lies in a block. */
static GByteArray *
make_payload (FuzzInput *input)
{
  GByteArray *bytes = g_byte_array_new ();
  g_autoptr (GVariant) value = NULL;
  guint8 choice = fuzz_u8 (input);
  const guint8 *some;
  gsize length;
  double number;

  switch (choice & 7)
    {
    case 0:
      value = mp_error_payload_new ("some-domain", choice, "It went wrong", "line 1", NULL, 0);
      break;
    case 1:
      value = g_variant_new_variant (g_variant_new ("(siay)", "text", choice, NULL));
      break;
    case 2:
      value = g_variant_new_variant (
        g_variant_new_fixed_array (G_VARIANT_TYPE_DOUBLE, &(double){ choice }, 1, sizeof (double)));
      break;
    case 3:
      value = g_variant_new_variant (g_variant_new_parsed ("[<1>, <'two'>, <[3.0]>]"));
      break;
    case 4:
      number = fuzz_u8 (input) == 0 ? (double) NAN : choice / 128.0;
      g_byte_array_append (bytes, (const guint8 *) &number, sizeof number);
      break;
    case 5:
      g_byte_array_set_size (bytes, (guint) choice * 2000);
      memset (bytes->data, choice, bytes->len);
      break;
    default:
      some = fuzz_bytes (input, choice, &length);
      g_byte_array_append (bytes, some, (guint) length);
      break;
    }
  if (value != NULL)
    {
      g_variant_take_ref (value);
      g_byte_array_append (bytes, g_variant_get_data (value), (guint) g_variant_get_size (value));
    }
  /* What is serialised may be so almost. */
  if ((choice & 0xc0) == 0xc0 && bytes->len > 0)
    {
      gsize place = fuzz_u16 (input) % bytes->len;

      bytes->data[place] = fuzz_u8 (input);
    }
  return bytes;
}

/* Seldom the header is cut. */
static void
put_record (FuzzInput *input,
            MpRing *ring,
            const gpointer header,
            gsize size,
            const GByteArray *rest,
            MpCodec codec)
{
  guint8 cut = fuzz_u8 (input);
  const GOutputVector parts[] = { { header, cut < 0xf0 ? size : size - (cut & 15) },
                                  { rest->data, rest->len } };
  const MpRecord record = { .parts = parts, .n_parts = rest->len > 0 ? 2 : 1, .codec = codec };

  mp_ring_put (ring, &record, 1, 0, MP_DEADLINE_NOW);
}

static void
reply (FuzzInput *input)
{
  guint8 how = fuzz_u8 (input);
  guint slot = fuzz_choose (input, MAX_TASKS);
  MpReplyHeader header = { .slot = slot,
                           .task_id = core->slots[slot].task_id,
                           .status = how % (MP_REPLY_SKIPPED + 2),
                           .worker = fuzz_choose (input, N_WORKERS + 1) };
  g_autoptr (GByteArray) payload = make_payload (input);
  MpCodec codec;

  if ((how & 0x40) != 0)
    header.padding = fuzz_u8 (input);
  if ((how & 0xc0) == 0xc0)
    {
      header.slot = fuzz_u32 (input);
      header.task_id = fuzz_u8 (input);
      header.padding = fuzz_u32 (input);
    }
  codec = fuzz_choose (input, MP_CODEC_LAST + 1);
  put_record (input, core->results, &header, sizeof header, payload, codec);
}

/* Into the claims, or into the ring of results. */
static void
scribble (FuzzInput *input)
{
  static const goffset bases[] = {
    0, 64, 128, 4096, MP_STORE_OFFSET, MP_STORE_OFFSET + MP_STORE_HEADER_SIZE
  };
  guint choice = fuzz_choose (input, 2 * G_N_ELEMENTS (bases));
  int fd = choice < G_N_ELEMENTS (bases) ? results_fd : mp_claims_get_fd (core->claims);
  goffset place = bases[choice % G_N_ELEMENTS (bases)] + 4 * fuzz_u8 (input);
  guint32 word = (fuzz_u8 (input) & 1) != 0 ? fuzz_u8 (input) : fuzz_u32 (input);

  if (place + 4 <= lseek (fd, 0, SEEK_END) && pwrite (fd, &word, sizeof word, place) < 0)
    fuzz_fail ("a write failed");
}

/* --- The pool ---------------------------------------------------------------- */

static MpBatch *
make_batch (FuzzInput *input, MpCodec *codec)
{
  static const guint8 bytes[200];
  const guint32 lengths[] = { 10, 90, 0, 100 };
  g_autoptr (GVariant) items = NULL;

  *codec = MP_CODEC_GVARIANT;
  switch (fuzz_choose (input, 3))
    {
    case 0:
      return mp_batch_new_single (g_variant_new_string ("argument"));
    case 1:
      items = g_variant_ref_sink (g_variant_new_parsed ("[<1>, <'two'>, <3.0>, <true>, <()>]"));
      return mp_batch_new_items (items, fuzz_choose (input, 3) + 1);
    default:
      *codec = MP_CODEC_PICKLE;
      return mp_batch_new_packed (bytes,
                                  sizeof bytes,
                                  (const guint8 *) lengths,
                                  sizeof lengths,
                                  *codec,
                                  NULL);
    }
}

static void
submit (FuzzInput *input)
{
  guint8 how = fuzz_u8 (input);
  MpBatch *batch;
  MpJobCore *job;
  MpCodec codec;

  if (n_jobs == MAX_JOBS || !mp_pool_core_check_open (core, NULL))
    return;
  batch = make_batch (input, &codec);
  job = mp_job_core_new (core,
                         (const guint8 *) "function",
                         8,
                         how & 3,
                         (how & 4) != 0,
                         (how & 8) != 0,
                         NULL);
  job->codec = codec;
  job->single = (how & 0x10) != 0;
  jobs[n_jobs++] = job;
  mp_job_core_add_batch (job, batch);
  mp_job_core_maybe_finish (job);
  mp_pool_core_feed (core);
}

static guint
sum_up (const guint8 *bytes, gsize length)
{
  guint sum = 0;

  for (gsize i = 0; i < length; i++)
    sum += bytes[i];
  return sum;
}

static void
take_results (FuzzInput *input, MpJobCore *job)
{
  g_autoptr (GByteArray) packed = g_byte_array_new ();
  g_autoptr (MpBuffer) buffer = NULL;
  GError *error = NULL;
  MpJobItem item;
  gsize length;

  switch (fuzz_choose (input, 3))
    {
    case 0:
      if (!mp_job_core_take_item (job, &item))
        return;
      fuzz_consume_variant (item.value);
      fuzz_check_error (item.error);
      break;
    case 1:
      fuzz_consume_variant (mp_job_core_get_result (job, &error));
      fuzz_check_error (error);
      break;
    default:
      job->taken = TRUE;
      mp_job_core_count_taken (job, mp_results_pack (&job->results, 0, packed));
      sum_up (packed->data, packed->len);
      buffer = mp_results_take_buffer (&job->results, fuzz_choose (input, 5));
      if (buffer != NULL)
        {
          const guint8 *memory = mp_buffer_get_memory (buffer, &length);

          sum_up (memory, length);
        }
      break;
    }
}

static void
operate (FuzzInput *input)
{
  guint8 choice = fuzz_u8 (input);

  switch (choice % 10)
    {
    case 0:
      fuzz_operation ("submitting", 0);
      submit (input);
      break;
    case 1:
    case 2:
    case 3:
      reply (input);
      break;
    case 4:
      scribble (input);
      break;
    case 5:
      fuzz_operation ("stopping a task", 0);
      mp_pool_core_stop_task (core, fuzz_choose (input, MAX_TASKS));
      break;
    case 6:
      if (n_jobs > 0 && choice >= 128)
        {
          fuzz_operation ("cancelling a job", 0);
          mp_job_core_stop_feeding (jobs[choice % n_jobs]);
        }
      break;
    case 7:
      fuzz_operation ("taking results", 0);
      if (n_jobs > 0)
        take_results (input, jobs[fuzz_choose (input, n_jobs)]);
      break;
    default:
      fuzz_operation ("draining", 0);
      mp_pool_core_drain (core);
      for (guint i = 0; i < n_jobs; i++)
        if (!isfinite (jobs[i]->progress_in_flight))
          fuzz_fail ("how far a job is, is no number");
      break;
    }
  /* Nothing is passed on to the pump. */
  mp_pool_core_unlock (core);
  mp_pool_core_lock (core);
}

static void
run_pool (FuzzInput *input)
{
  mp_pool_core_lock (core);
  for (guint i = 0; i < MAX_OPERATIONS && fuzz_has_more (input); i++)
    operate (input);
  fuzz_operation ("the end of the pool", 0);
  mp_pool_core_drain (core);
  mp_pool_core_terminate (core);
  mp_pool_core_unlock (core);
}

/* --- The worker -------------------------------------------------------------- */

/* A task that nobody has fed. */
static void
put_task (FuzzInput *input, MpRing *tasks, guint number)
{
  guint8 how = fuzz_u8 (input);
  MpTaskHeader header = { .task_id = number,
                          .slot = number,
                          .codec = how & 7,
                          .flags = how >> 4,
                          .function_length = 8 };
  g_autoptr (GByteArray) payload = make_payload (input);

  if ((how & 8) != 0)
    {
      guint shift = fuzz_u8 (input);

      header.function_length = fuzz_u32 (input) >> shift % 32;
      header.slot = fuzz_u32 (input) >> shift / 8;
    }
  if ((how >> 4 & MP_TASK_IN_BLOCK) != 0)
    {
      MpBlockRef ref = { .index = fuzz_u8 (input) };

      ref.length = fuzz_u32 (input);
      g_byte_array_append (payload, (const guint8 *) &ref, sizeof ref);
    }
  mp_claims_queue (core->claims, number);
  put_record (input, tasks, &header, sizeof header, payload, MP_CODEC_RAW);
}

static MpWorker *
make_worker (FuzzInput *input, GError **error)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) tasks = mp_ring_to_handle (core->tasks, fd_list, NULL);
  g_autoptr (GVariant) results = mp_ring_to_handle (core->results, fd_list, NULL);
  g_auto (GVariantDict) layout = G_VARIANT_DICT_INIT (NULL);
  guint8 how = fuzz_u8 (input);
  const gint32 claims = g_unix_fd_list_append (fd_list, mp_claims_get_fd (core->claims), NULL);
  GVariant *fds = g_variant_new_fixed_array (G_VARIANT_TYPE_HANDLE, &claims, 1, sizeof claims);

  g_variant_dict_insert_value (&layout, "tasks", tasks);
  g_variant_dict_insert_value (&layout, "results", results);
  g_variant_dict_insert (&layout, "worker", "u", (how & 0x30) == 0x30 ? fuzz_u32 (input) : how & 1);
  g_variant_dict_insert (&layout, "max-tasks", "u", how & 2);
  g_variant_dict_insert (&layout, "max-age", "x", (gint64) -1);
  g_variant_dict_insert (&layout, "max-memory", "t", (guint64) 0);
  return mp_worker_new_from_handle (g_variant_new ("(su@a{sv}@ah)",
                                                   MP_POOL_HANDLE_KIND,
                                                   1,
                                                   g_variant_dict_end (&layout),
                                                   fds),
                                    fd_list,
                                    error);
}

static void
answer (FuzzInput *input, MpWorker *worker, GError **error)
{
  g_autoptr (GByteArray) payload = make_payload (input);
  g_autoptr (MpBuffer) argument = NULL;
  gsize length;

  mp_worker_report_progress (worker, 0.5);
  argument = mp_worker_take_argument (worker);
  if (argument != NULL)
    {
      const guint8 *memory = mp_buffer_get_memory (argument, &length);

      sum_up (memory, length);
    }
  if (fuzz_choose (input, 2) == 0)
    mp_worker_succeed (worker, payload->data, payload->len, MP_CODEC_PICKLE, error);
  else
    mp_worker_fail (worker, "domain", 1, "It went wrong", NULL, payload->data, payload->len, error);
}

static void
run_worker (FuzzInput *input)
{
  g_autoptr (MpWorker) worker = NULL;
  GError *error = NULL;
  const guint8 *task;
  gsize length;

  fuzz_operation ("mp_worker_new_from_handle", 0);
  worker = make_worker (input, &error);
  for (guint i = 0; i < MAX_TASKS && fuzz_has_more (input); i++)
    put_task (input, core->tasks, i);
  /* So that nobody ever waits for another one. */
  mp_ring_close (core->tasks, MP_QUEUE_SIDES_PUT);
  while (worker != NULL && error == NULL)
    {
      fuzz_operation ("mp_worker_next", 0);
      task = mp_worker_next (worker, &length, &error);
      if (task == NULL)
        break;
      sum_up (task, length);
      fuzz_operation ("answering", 0);
      answer (input, worker, &error);
    }
  fuzz_check_error (error);
}

/* --- Beginning and end ------------------------------------------------------- */

void
fuzz_run (FuzzInput *input)
{
  const MpPoolSettings settings = { .n_workers = N_WORKERS,
                                    .min_workers = N_WORKERS,
                                    .idle_timeout = -1,
                                    .max_worker_age = -1,
                                    .task_timeout = -1,
                                    .max_attempts = 2,
                                    .cancel_grace = -1 };
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();

  core = mp_pool_core_new (context, &settings, NULL);
  /* As if the pump were about to have its turn. */
  core->tick_scheduled = TRUE;
  g_variant_unref (mp_ring_to_handle (core->results, fd_list, NULL));
  results_fd = g_unix_fd_list_peek_fds (fd_list, NULL)[0];
  n_jobs = 0;
  fuzz_may_stall (FUZZ_ANY_MICRO_LOCK, 0);
  fuzz_begin (input, NULL);
  if ((fuzz_u8 (input) & 1) == 0)
    run_pool (input);
  else
    run_worker (input);
  fuzz_operation ("dropping everything", 0);
  for (guint i = 0; i < n_jobs; i++)
    mp_job_core_unref (jobs[i]);
  g_clear_pointer (&core, mp_pool_core_unref);
  fuzz_forget_stalls ();
  fuzz_end ();
}
