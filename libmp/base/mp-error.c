/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-error-private.h"

#include <errno.h>
#include <gio/gio.h>

#define MP_N_ERRORS (MP_ERROR_AUTHENTICATION + 1)

static const GDBusErrorEntry mp_error_entries[] = {
  { MP_ERROR_FAILED, "org.libmp.Mp1.Error.Failed" },
  { MP_ERROR_INVALID_ARGUMENT, "org.libmp.Mp1.Error.InvalidArgument" },
  { MP_ERROR_NOT_FOUND, "org.libmp.Mp1.Error.NotFound" },
  { MP_ERROR_EXISTS, "org.libmp.Mp1.Error.Exists" },
  { MP_ERROR_CLOSED, "org.libmp.Mp1.Error.Closed" },
  { MP_ERROR_EMPTY, "org.libmp.Mp1.Error.Empty" },
  { MP_ERROR_FULL, "org.libmp.Mp1.Error.Full" },
  { MP_ERROR_TIMED_OUT, "org.libmp.Mp1.Error.TimedOut" },
  { MP_ERROR_NOT_OWNER, "org.libmp.Mp1.Error.NotOwner" },
  { MP_ERROR_BUSY, "org.libmp.Mp1.Error.Busy" },
  { MP_ERROR_LIMIT, "org.libmp.Mp1.Error.Limit" },
  { MP_ERROR_NOT_SUPPORTED, "org.libmp.Mp1.Error.NotSupported" },
  { MP_ERROR_BROKEN_BARRIER, "org.libmp.Mp1.Error.BrokenBarrier" },
  { MP_ERROR_PROCESS_DIED, "org.libmp.Mp1.Error.ProcessDied" },
  { MP_ERROR_CALLBACK_FAILED, "org.libmp.Mp1.Error.CallbackFailed" },
  { MP_ERROR_TYPE, "org.libmp.Mp1.Error.Type" },
  { MP_ERROR_CORRUPT, "org.libmp.Mp1.Error.Corrupt" },
  { MP_ERROR_UNSAFE_FORK, "org.libmp.Mp1.Error.UnsafeFork" },
  { MP_ERROR_NOT_BOOTSTRAPPED, "org.libmp.Mp1.Error.NotBootstrapped" },
  { MP_ERROR_AUTHENTICATION, "org.libmp.Mp1.Error.Authentication" },
};
G_STATIC_ASSERT (G_N_ELEMENTS (mp_error_entries) == MP_N_ERRORS);

/**
 * mp_error_quark:
 *
 * The domain of libmp's errors. The first call also registers their D-Bus
 * names, org.libmp.Mp1.Error.X, so that errors keep their domain and code
 * when they cross the bus.
 *
 * Returns: the quark
 *
 * Since: 0.1
 */
GQuark
mp_error_quark (void)
{
  static gsize quark = 0;

  g_dbus_error_register_error_domain ("mp-error-quark",
                                      &quark,
                                      mp_error_entries,
                                      G_N_ELEMENTS (mp_error_entries));
  return (GQuark) quark;
}

G_DEFINE_ENUM_TYPE (MpError,
                    mp_error,
                    G_DEFINE_ENUM_VALUE (MP_ERROR_FAILED, "failed"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_INVALID_ARGUMENT, "invalid-argument"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_NOT_FOUND, "not-found"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_EXISTS, "exists"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_CLOSED, "closed"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_EMPTY, "empty"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_FULL, "full"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_TIMED_OUT, "timed-out"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_NOT_OWNER, "not-owner"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_BUSY, "busy"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_LIMIT, "limit"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_NOT_SUPPORTED, "not-supported"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_BROKEN_BARRIER, "broken-barrier"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_PROCESS_DIED, "process-died"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_CALLBACK_FAILED, "callback-failed"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_TYPE, "type"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_CORRUPT, "corrupt"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_UNSAFE_FORK, "unsafe-fork"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_NOT_BOOTSTRAPPED, "not-bootstrapped"),
                    G_DEFINE_ENUM_VALUE (MP_ERROR_AUTHENTICATION, "authentication"))

MpError
mp_error_from_errno (int err)
{
  switch (err)
    {
    case EINVAL:
      return MP_ERROR_INVALID_ARGUMENT;
    case ENOENT:
    case ESRCH:
      return MP_ERROR_NOT_FOUND;
    case EADDRINUSE:
    case EEXIST:
      return MP_ERROR_EXISTS;
    case ENOMEM:
    case ENOSPC:
    case EMFILE:
    case ENFILE:
    case EAGAIN:
    case EDQUOT:
    case EFBIG:
      return MP_ERROR_LIMIT;
    case ENOSYS:
    case EOPNOTSUPP:
      return MP_ERROR_NOT_SUPPORTED;
    case ETIMEDOUT:
      return MP_ERROR_TIMED_OUT;
    default:
      return MP_ERROR_FAILED;
    }
}

gboolean
mp_set_error_from_errno (GError **error, int err, const char *what)
{
  g_set_error (error, MP_ERROR, mp_error_from_errno (err), "%s: %s", what, g_strerror (err));
  return FALSE;
}
