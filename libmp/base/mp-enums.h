/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <glib-object.h>

#include "mp-version-macros.h"

G_BEGIN_DECLS

#define MP_TYPE_CODEC (mp_codec_get_type ())
#define MP_TYPE_START_METHOD (mp_start_method_get_type ())
#define MP_TYPE_RUNTIME (mp_runtime_get_type ())
#define MP_TYPE_JOB_STATE (mp_job_state_get_type ())
#define MP_TYPE_WAIT_RESULT (mp_wait_result_get_type ())
#define MP_TYPE_SEMAPHORE_FLAGS (mp_semaphore_flags_get_type ())
#define MP_TYPE_QUEUE_SIDES (mp_queue_sides_get_type ())

/**
 * MpCodec:
 * @MP_CODEC_RAW: bytes that mean nothing to libmp
 * @MP_CODEC_GVARIANT: the serialised form of a variant of type v that holds the value
 * @MP_CODEC_PICKLE: a Python pickle; only ever decoded from trusted peers
 * @MP_CODEC_JSON: JSON text in UTF-8
 *
 * How the bytes of a payload are to be read.
 *
 * Since: 0.1
 */
typedef enum
{
  MP_CODEC_RAW,
  MP_CODEC_GVARIANT,
  MP_CODEC_PICKLE,
  MP_CODEC_JSON
} MpCodec;

/**
 * MpStartMethod:
 * @MP_START_METHOD_FORKSERVER: forked from a single-threaded, preloaded zygote
 * @MP_START_METHOD_SPAWN: executed afresh
 * @MP_START_METHOD_FORK: forked from the calling process
 *
 * How a context starts processes.
 *
 * Since: 0.1
 */
typedef enum
{
  MP_START_METHOD_FORKSERVER,
  MP_START_METHOD_SPAWN,
  MP_START_METHOD_FORK
} MpStartMethod;

/**
 * MpRuntime:
 * @MP_RUNTIME_NATIVE: tasks are C functions, registered by name in this program
 * @MP_RUNTIME_PYTHON: tasks are Python callables, named package.module:function
 * @MP_RUNTIME_COMMAND: tasks are programs, given by their argument vector
 *
 * What runs in the processes of a context.
 *
 * Since: 0.1
 */
typedef enum
{
  MP_RUNTIME_NATIVE,
  MP_RUNTIME_PYTHON,
  MP_RUNTIME_COMMAND
} MpRuntime;

/**
 * MpJobState:
 * @MP_JOB_STATE_QUEUED: not started
 * @MP_JOB_STATE_RUNNING: a worker has it, or some of it
 * @MP_JOB_STATE_SUCCEEDED: finished, the result can be fetched
 * @MP_JOB_STATE_FAILED: the task reported an error
 * @MP_JOB_STATE_CANCELLED: cancelled, or dropped when its pool was terminated
 * @MP_JOB_STATE_TIMED_OUT: its time was over
 * @MP_JOB_STATE_WORKER_DIED: the worker died while it had the task
 * @MP_JOB_STATE_LIMIT: a limit on memory or processor time ended it
 *
 * The life of an [class@Mp.Job]. Every state from %MP_JOB_STATE_SUCCEEDED on is final.
 *
 * Since: 0.1
 */
typedef enum
{
  MP_JOB_STATE_QUEUED,
  MP_JOB_STATE_RUNNING,
  MP_JOB_STATE_SUCCEEDED,
  MP_JOB_STATE_FAILED,
  MP_JOB_STATE_CANCELLED,
  MP_JOB_STATE_TIMED_OUT,
  MP_JOB_STATE_WORKER_DIED,
  MP_JOB_STATE_LIMIT
} MpJobState;

/**
 * MpWaitResult:
 * @MP_WAIT_RESULT_DONE: the caller has what it waited for
 * @MP_WAIT_RESULT_TIMED_OUT: not in time
 * @MP_WAIT_RESULT_INTERRUPTED: a signal handler ran in this thread, or may have run; call
 *   again
 * @MP_WAIT_RESULT_BROKEN: the barrier broke
 * @MP_WAIT_RESULT_FAILED: the caller does not hold the lock that it has to hold, or a
 *   limit was hit
 *
 * How a wait ended that signal handlers interrupt: for bindings whose language
 * wants to act on a signal, and then to go on waiting.
 *
 * Since: 0.1
 */
typedef enum
{
  MP_WAIT_RESULT_DONE,
  MP_WAIT_RESULT_TIMED_OUT,
  MP_WAIT_RESULT_INTERRUPTED,
  MP_WAIT_RESULT_BROKEN,
  MP_WAIT_RESULT_FAILED
} MpWaitResult;

/**
 * MpSemaphoreFlags:
 * @MP_SEMAPHORE_NONE: any process may release what it never acquired, without bound
 * @MP_SEMAPHORE_BOUNDED: there are never more units than at the start
 * @MP_SEMAPHORE_RECOVER: the units of a process that dies come back
 *
 * What kind of semaphore it is.
 *
 * Since: 0.1
 */
typedef enum /*< flags >*/
{
  MP_SEMAPHORE_NONE = 0,
  MP_SEMAPHORE_BOUNDED = 1 << 0,
  MP_SEMAPHORE_RECOVER = 1 << 1
} MpSemaphoreFlags;

/**
 * MpQueueSides:
 * @MP_QUEUE_SIDES_PUT: nothing more can be put; what is there can still be taken
 * @MP_QUEUE_SIDES_GET: nothing more can be taken, and so nothing put
 *
 * The sides of a queue that can be closed.
 *
 * Since: 0.1
 */
typedef enum /*< flags >*/
{
  MP_QUEUE_SIDES_PUT = 1 << 0,
  MP_QUEUE_SIDES_GET = 1 << 1
} MpQueueSides;

MP_AVAILABLE_IN_ALL
GType mp_codec_get_type (void) G_GNUC_CONST;
MP_AVAILABLE_IN_ALL
GType mp_start_method_get_type (void) G_GNUC_CONST;
MP_AVAILABLE_IN_ALL
GType mp_runtime_get_type (void) G_GNUC_CONST;
MP_AVAILABLE_IN_ALL
GType mp_job_state_get_type (void) G_GNUC_CONST;
MP_AVAILABLE_IN_ALL
GType mp_wait_result_get_type (void) G_GNUC_CONST;
MP_AVAILABLE_IN_ALL
GType mp_semaphore_flags_get_type (void) G_GNUC_CONST;
MP_AVAILABLE_IN_ALL
GType mp_queue_sides_get_type (void) G_GNUC_CONST;

G_END_DECLS
