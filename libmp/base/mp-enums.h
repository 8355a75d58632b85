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
#define MP_TYPE_LIMIT (mp_limit_get_type ())
#define MP_TYPE_STDIO (mp_stdio_get_type ())
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
 * @MP_CODEC_PICKLE_BUFFERS: a Python pickle and the buffers that it refers to
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
  MP_CODEC_JSON,
  MP_CODEC_PICKLE_BUFFERS
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
 * @MP_RUNTIME_GJS: tasks are functions in JavaScript, named file.js:function
 * @MP_RUNTIME_MODULE: tasks are C functions of shared libraries, named libfoo.so:symbol
 *
 * What runs in the processes of a context.
 *
 * Since: 0.1
 */
typedef enum
{
  MP_RUNTIME_NATIVE,
  MP_RUNTIME_PYTHON,
  MP_RUNTIME_COMMAND,
  MP_RUNTIME_GJS,
  MP_RUNTIME_MODULE
} MpRuntime;

/**
 * MpLimit:
 * @MP_LIMIT_NONE: no limit
 * @MP_LIMIT_MEMORY: bytes of memory that the process shares with nobody; a process that
 *   has more is killed. libmp looks at it several times in a second, so that for a
 *   moment it can have more. Of a command, what it starts counts, too.
 * @MP_LIMIT_ADDRESS_SPACE: bytes of address space; allocating more fails
 * @MP_LIMIT_CPU_TIME: seconds of processor time; then comes `SIGXCPU`, and a second later
 *   `SIGKILL`
 * @MP_LIMIT_FILES: open files; opening more fails
 * @MP_LIMIT_PROCESSES: processes and threads of the user; starting more fails
 * @MP_LIMIT_FILE_SIZE: bytes of a file that is written; then comes `SIGXFSZ`, or, where
 *   that is ignored, writing fails
 * @MP_LIMIT_CORE: bytes of a core file, 0 for none
 * @MP_LIMIT_STACK: bytes of the stack of a program that is executed; a process that needs
 *   more is killed by `SIGSEGV`
 *
 * What a process can be limited in, see [method@Mp.Context.set_limit].
 *
 * Since: 0.1
 */
typedef enum
{
  MP_LIMIT_NONE,
  MP_LIMIT_MEMORY,
  MP_LIMIT_ADDRESS_SPACE,
  MP_LIMIT_CPU_TIME,
  MP_LIMIT_FILES,
  MP_LIMIT_PROCESSES,
  MP_LIMIT_FILE_SIZE,
  MP_LIMIT_CORE,
  MP_LIMIT_STACK
} MpLimit;

/**
 * MpStdio:
 * @MP_STDIO_INHERIT: that of the process that starts it
 * @MP_STDIO_NULL: `/dev/null`
 * @MP_STDIO_PIPE: a pipe, of which the process that starts it has the other end
 * @MP_STDIO_FILE: a file, or a descriptor
 * @MP_STDIO_LINES: read line by line, which [signal@Mp.Process::line] tells
 * @MP_STDIO_STDOUT: for error messages: where the standard output goes
 *
 * What a standard stream of a process is, see [method@Mp.Process.set_stdio].
 *
 * Since: 0.1
 */
typedef enum
{
  MP_STDIO_INHERIT,
  MP_STDIO_NULL,
  MP_STDIO_PIPE,
  MP_STDIO_FILE,
  MP_STDIO_LINES,
  MP_STDIO_STDOUT
} MpStdio;

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
GType mp_limit_get_type (void) G_GNUC_CONST;
MP_AVAILABLE_IN_ALL
GType mp_stdio_get_type (void) G_GNUC_CONST;
MP_AVAILABLE_IN_ALL
GType mp_job_state_get_type (void) G_GNUC_CONST;
MP_AVAILABLE_IN_ALL
GType mp_wait_result_get_type (void) G_GNUC_CONST;
MP_AVAILABLE_IN_ALL
GType mp_semaphore_flags_get_type (void) G_GNUC_CONST;
MP_AVAILABLE_IN_ALL
GType mp_queue_sides_get_type (void) G_GNUC_CONST;

G_END_DECLS
