/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <glib-object.h>

#include "mp-version-macros.h"

G_BEGIN_DECLS

#define MP_TYPE_ERROR (mp_error_get_type ())
#define MP_ERROR (mp_error_quark ())

/**
 * MpError:
 * @MP_ERROR_FAILED: something went wrong that has no code of its own
 * @MP_ERROR_INVALID_ARGUMENT: an argument is out of its range; the message names it
 * @MP_ERROR_NOT_FOUND: what was named does not exist
 * @MP_ERROR_EXISTS: what was to be made exists
 * @MP_ERROR_CLOSED: the object was closed
 * @MP_ERROR_EMPTY: nothing to take in time
 * @MP_ERROR_FULL: no room in time
 * @MP_ERROR_TIMED_OUT: not in time
 * @MP_ERROR_NOT_OWNER: the caller does not hold what it wanted to release
 * @MP_ERROR_BUSY: the object is in use in a way that forbids the call
 * @MP_ERROR_LIMIT: a limit of memory, time or number was hit
 * @MP_ERROR_NOT_SUPPORTED: this build, platform or configuration cannot do it
 * @MP_ERROR_BROKEN_BARRIER: the barrier broke while waiting
 * @MP_ERROR_PROCESS_DIED: a process ended before its work did
 * @MP_ERROR_CALLBACK_FAILED: the caller's function failed
 * @MP_ERROR_TYPE: a value is not of the type that was expected
 * @MP_ERROR_CORRUPT: shared data is not what a well-behaved peer writes
 * @MP_ERROR_UNSAFE_FORK: forking this process would break the child
 * @MP_ERROR_NOT_BOOTSTRAPPED: the program never called mp_bootstrap()
 * @MP_ERROR_AUTHENTICATION: the peer did not prove who it is
 *
 * What can go wrong in libmp. Cancellation is always %G_IO_ERROR_CANCELLED.
 *
 * Since: 0.1
 */
typedef enum
{
  MP_ERROR_FAILED,
  MP_ERROR_INVALID_ARGUMENT,
  MP_ERROR_NOT_FOUND,
  MP_ERROR_EXISTS,
  MP_ERROR_CLOSED,
  MP_ERROR_EMPTY,
  MP_ERROR_FULL,
  MP_ERROR_TIMED_OUT,
  MP_ERROR_NOT_OWNER,
  MP_ERROR_BUSY,
  MP_ERROR_LIMIT,
  MP_ERROR_NOT_SUPPORTED,
  MP_ERROR_BROKEN_BARRIER,
  MP_ERROR_PROCESS_DIED,
  MP_ERROR_CALLBACK_FAILED,
  MP_ERROR_TYPE,
  MP_ERROR_CORRUPT,
  MP_ERROR_UNSAFE_FORK,
  MP_ERROR_NOT_BOOTSTRAPPED,
  MP_ERROR_AUTHENTICATION
} MpError;

MP_AVAILABLE_IN_ALL
GType mp_error_get_type (void) G_GNUC_CONST;
MP_AVAILABLE_IN_ALL
GQuark mp_error_quark (void);

G_END_DECLS
