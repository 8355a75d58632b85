/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-enums.h"

G_DEFINE_ENUM_TYPE (MpCodec,
                    mp_codec,
                    G_DEFINE_ENUM_VALUE (MP_CODEC_RAW, "raw"),
                    G_DEFINE_ENUM_VALUE (MP_CODEC_GVARIANT, "gvariant"),
                    G_DEFINE_ENUM_VALUE (MP_CODEC_PICKLE, "pickle"),
                    G_DEFINE_ENUM_VALUE (MP_CODEC_JSON, "json"),
                    G_DEFINE_ENUM_VALUE (MP_CODEC_PICKLE_BUFFERS, "pickle-buffers"))

G_DEFINE_ENUM_TYPE (MpStartMethod,
                    mp_start_method,
                    G_DEFINE_ENUM_VALUE (MP_START_METHOD_FORKSERVER, "forkserver"),
                    G_DEFINE_ENUM_VALUE (MP_START_METHOD_SPAWN, "spawn"),
                    G_DEFINE_ENUM_VALUE (MP_START_METHOD_FORK, "fork"))

G_DEFINE_ENUM_TYPE (MpRuntime,
                    mp_runtime,
                    G_DEFINE_ENUM_VALUE (MP_RUNTIME_NATIVE, "native"),
                    G_DEFINE_ENUM_VALUE (MP_RUNTIME_PYTHON, "python"),
                    G_DEFINE_ENUM_VALUE (MP_RUNTIME_COMMAND, "command"),
                    G_DEFINE_ENUM_VALUE (MP_RUNTIME_GJS, "gjs"),
                    G_DEFINE_ENUM_VALUE (MP_RUNTIME_MODULE, "module"))

G_DEFINE_ENUM_TYPE (MpLimit,
                    mp_limit,
                    G_DEFINE_ENUM_VALUE (MP_LIMIT_NONE, "none"),
                    G_DEFINE_ENUM_VALUE (MP_LIMIT_MEMORY, "memory"),
                    G_DEFINE_ENUM_VALUE (MP_LIMIT_ADDRESS_SPACE, "address-space"),
                    G_DEFINE_ENUM_VALUE (MP_LIMIT_CPU_TIME, "cpu-time"),
                    G_DEFINE_ENUM_VALUE (MP_LIMIT_FILES, "files"),
                    G_DEFINE_ENUM_VALUE (MP_LIMIT_PROCESSES, "processes"),
                    G_DEFINE_ENUM_VALUE (MP_LIMIT_FILE_SIZE, "file-size"),
                    G_DEFINE_ENUM_VALUE (MP_LIMIT_CORE, "core"),
                    G_DEFINE_ENUM_VALUE (MP_LIMIT_STACK, "stack"))

G_DEFINE_ENUM_TYPE (MpStdio,
                    mp_stdio,
                    G_DEFINE_ENUM_VALUE (MP_STDIO_INHERIT, "inherit"),
                    G_DEFINE_ENUM_VALUE (MP_STDIO_NULL, "null"),
                    G_DEFINE_ENUM_VALUE (MP_STDIO_PIPE, "pipe"),
                    G_DEFINE_ENUM_VALUE (MP_STDIO_FILE, "file"),
                    G_DEFINE_ENUM_VALUE (MP_STDIO_LINES, "lines"),
                    G_DEFINE_ENUM_VALUE (MP_STDIO_STDOUT, "stdout"))

G_DEFINE_ENUM_TYPE (MpJobState,
                    mp_job_state,
                    G_DEFINE_ENUM_VALUE (MP_JOB_STATE_QUEUED, "queued"),
                    G_DEFINE_ENUM_VALUE (MP_JOB_STATE_RUNNING, "running"),
                    G_DEFINE_ENUM_VALUE (MP_JOB_STATE_SUCCEEDED, "succeeded"),
                    G_DEFINE_ENUM_VALUE (MP_JOB_STATE_FAILED, "failed"),
                    G_DEFINE_ENUM_VALUE (MP_JOB_STATE_CANCELLED, "cancelled"),
                    G_DEFINE_ENUM_VALUE (MP_JOB_STATE_TIMED_OUT, "timed-out"),
                    G_DEFINE_ENUM_VALUE (MP_JOB_STATE_WORKER_DIED, "worker-died"),
                    G_DEFINE_ENUM_VALUE (MP_JOB_STATE_LIMIT, "limit"))

G_DEFINE_ENUM_TYPE (MpWaitResult,
                    mp_wait_result,
                    G_DEFINE_ENUM_VALUE (MP_WAIT_RESULT_DONE, "done"),
                    G_DEFINE_ENUM_VALUE (MP_WAIT_RESULT_TIMED_OUT, "timed-out"),
                    G_DEFINE_ENUM_VALUE (MP_WAIT_RESULT_INTERRUPTED, "interrupted"),
                    G_DEFINE_ENUM_VALUE (MP_WAIT_RESULT_BROKEN, "broken"),
                    G_DEFINE_ENUM_VALUE (MP_WAIT_RESULT_FAILED, "failed"))

G_DEFINE_FLAGS_TYPE (MpSemaphoreFlags,
                     mp_semaphore_flags,
                     G_DEFINE_ENUM_VALUE (MP_SEMAPHORE_NONE, "none"),
                     G_DEFINE_ENUM_VALUE (MP_SEMAPHORE_BOUNDED, "bounded"),
                     G_DEFINE_ENUM_VALUE (MP_SEMAPHORE_RECOVER, "recover"))

G_DEFINE_FLAGS_TYPE (MpQueueSides,
                     mp_queue_sides,
                     G_DEFINE_ENUM_VALUE (MP_QUEUE_SIDES_PUT, "put"),
                     G_DEFINE_ENUM_VALUE (MP_QUEUE_SIDES_GET, "get"))
