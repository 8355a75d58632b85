/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-handle-private.h"

#include <errno.h>
#include <fcntl.h>

#include "mp-error-private.h"
#include "mp-namespace-private.h"
#include "mp-shareable-private.h"

GVariant *
mp_handle_check (GVariant *handle, const char *kind, guint32 version, GError **error)
{
  g_autoptr (GVariant) layout = NULL;
  guint64 own = mp_get_pid_namespace (), namespace = 0;
  const char *found_kind = NULL;
  guint32 found;

  if (!g_variant_is_of_type (handle, G_VARIANT_TYPE (MP_HANDLE_TYPE)))
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_TYPE,
                   "A handle is of type %s, this is of type %s",
                   MP_HANDLE_TYPE,
                   g_variant_get_type_string (handle));
      return NULL;
    }
  g_variant_get (handle, "(&su@a{sv}ah)", &found_kind, &found, &layout, NULL);
  if (kind != NULL && !g_str_equal (found_kind, kind))
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_TYPE,
                   "This is the handle of a %s, not of a %s",
                   found_kind,
                   kind);
      return NULL;
    }
  if (found != version)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_NOT_SUPPORTED,
                   "A handle of version %u, this library knows version %u",
                   found,
                   version);
      return NULL;
    }
  if (!g_variant_lookup (layout, "pidns", "t", &namespace) || namespace != own)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_NOT_SUPPORTED,
                   "The handle is from another process id namespace (%" G_GUINT64_FORMAT
                   ", here it is %" G_GUINT64_FORMAT ")",
                   namespace,
                   own);
      return NULL;
    }
  return g_steal_pointer (&layout);
}

int
mp_handle_get_fd (GUnixFDList *fd_list, gint32 index, GError **error)
{
  int n_fds;
  int fd = fcntl (g_unix_fd_list_peek_fds (fd_list, &n_fds)[index], F_DUPFD_CLOEXEC, 0);

  if (fd < 0)
    mp_set_error_from_errno (error, errno, "A descriptor that came with a handle");
  return fd;
}

int
mp_handle_take_fd (GVariant *handle, GUnixFDList *fd_list, const char *what, GError **error)
{
  g_autoptr (GVariant) fds = g_variant_get_child_value (handle, 3);
  gint32 index = -1, n_fds = fd_list != NULL ? g_unix_fd_list_get_length (fd_list) : 0;

  if (g_variant_n_children (fds) == 1)
    g_variant_get_child (fds, 0, "h", &index);
  if (index >= 0 && index < n_fds)
    return mp_handle_get_fd (fd_list, index, error);
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_CORRUPT,
               "The handle of %s does not name one of the %d descriptors that came with it",
               what,
               n_fds);
  return -1;
}
