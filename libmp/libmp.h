/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#define MP_INSIDE

#include "base/mp-version-macros.h"
#include "base/mp-version.h"
#include "base/mp-error.h"
#include "base/mp-enums.h"
#include "base/mp-value-type.h"
#include "base/mp-waitable.h"
#include "memory/mp-shareable.h"
#include "memory/mp-shared-memory.h"
#include "sync/mp-lock.h"
#include "sync/mp-rlock.h"
#include "sync/mp-semaphore.h"
#include "sync/mp-condition.h"
#include "sync/mp-event.h"
#include "sync/mp-barrier.h"
#include "sync/mp-sync-dump.h"
#include "values/mp-array.h"
#include "values/mp-shareable-list.h"
#include "values/mp-value.h"
#include "channel/mp-connection.h"
#include "channel/mp-buffer.h"
#include "channel/mp-lease.h"
#include "channel/mp-listener.h"
#include "channel/mp-queue.h"
#include "process/mp-bootstrap.h"
#include "process/mp-task.h"
#include "process/mp-context.h"
#include "process/mp-process.h"
#include "process/mp-fork-guard.h"
#include "pool/mp-job.h"
#include "pool/mp-job-list.h"
#include "pool/mp-job-options.h"
#include "pool/mp-pool.h"
#include "pool/mp-worker.h"

#undef MP_INSIDE
