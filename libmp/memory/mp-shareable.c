/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-shareable-private.h"

#include "mp-error.h"

/**
 * MpShareable:
 *
 * Something that can travel to another process.
 *
 * A shareable object yields a *handle*: a variant together with file
 * descriptors in a [class@Gio.UnixFDList]. Handle and descriptors can be sent
 * over D-Bus, over a Unix socket, or given to a process when it starts; from
 * them [func@Mp.Shareable.new_from_handle] makes an object that stands for the
 * same shared thing. The handle stays good for as long as the descriptors are
 * open, also when the object it came from is gone.
 *
 * A handle gives full access to what it names. Give it only to processes that
 * you trust with that.
 *
 * Since: 0.1
 */
G_DEFINE_INTERFACE (MpShareable, mp_shareable, G_TYPE_OBJECT)

#define MAX_KINDS 32

typedef struct
{
  const char *name;
  MpShareableImport import;
} Kind;

static GMutex kinds_lock;
static Kind kinds[MAX_KINDS];
static guint n_kinds;

static void
mp_shareable_default_init (MpShareableInterface *iface)
{
}

void
mp_shareable_register_kind (const char *kind, MpShareableImport import)
{
  g_mutex_lock (&kinds_lock);
  g_assert_cmpuint (n_kinds, <, MAX_KINDS);
  kinds[n_kinds++] = (Kind){ .name = kind, .import = import };
  g_mutex_unlock (&kinds_lock);
}

static MpShareableImport
find_import (const char *kind)
{
  MpShareableImport found = NULL;

  g_mutex_lock (&kinds_lock);
  for (guint i = 0; i < n_kinds && found == NULL; i++)
    {
      if (g_str_equal (kinds[i].name, kind))
        found = kinds[i].import;
    }
  g_mutex_unlock (&kinds_lock);
  return found;
}

/**
 * mp_shareable_to_handle:
 * @self: the object to share
 * @fd_list: where the handle's descriptors are appended
 * @error: return location for an error
 *
 * Makes a handle of @self. Its descriptors are duplicated into @fd_list; the
 * handle refers to them by their places there.
 *
 * Returns: (transfer full) (nullable): the handle, of type `(sua{sv}ah)`, or
 *   `NULL` with @error set: [error@Mp.Error.LIMIT] if there are no more file
 *   descriptors
 *
 * Since: 0.1
 */
GVariant *
mp_shareable_to_handle (MpShareable *self, GUnixFDList *fd_list, GError **error)
{
  MpShareableInterface *iface;

  g_return_val_if_fail (MP_IS_SHAREABLE (self), NULL);
  g_return_val_if_fail (G_IS_UNIX_FD_LIST (fd_list), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  iface = MP_SHAREABLE_GET_IFACE (self);
  g_return_val_if_fail (iface->to_handle != NULL, NULL);
  return iface->to_handle (self, fd_list, error);
}

/**
 * mp_shareable_new_from_handle:
 * @handle: a handle, of type `(sua{sv}ah)`
 * @fd_list: (nullable): the descriptors that came with it
 * @error: return location for an error
 *
 * Makes an object that stands for what @handle names. The descriptors are
 * duplicated; @fd_list stays the caller's.
 *
 * The handle is not trusted: descriptors that are not what they should be give
 * [error@Mp.Error.CORRUPT], a kind that this version does not know, or one from
 * another process id namespace, [error@Mp.Error.NOT_SUPPORTED], a variant of
 * another shape [error@Mp.Error.TYPE].
 *
 * Returns: (transfer full) (nullable): the object, or `NULL` with @error set
 *
 * Since: 0.1
 */
MpShareable *
mp_shareable_new_from_handle (GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  g_autoptr (GVariant) owned = NULL;
  MpShareableImport import;
  const char *kind = NULL;

  g_return_val_if_fail (handle != NULL, NULL);
  g_return_val_if_fail (fd_list == NULL || G_IS_UNIX_FD_LIST (fd_list), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  owned = g_variant_ref_sink (handle);
  if (!g_variant_is_of_type (owned, G_VARIANT_TYPE (MP_HANDLE_TYPE)))
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_TYPE,
                   "A handle is of type %s, this is of type %s",
                   MP_HANDLE_TYPE,
                   g_variant_get_type_string (owned));
      return NULL;
    }
  g_variant_get_child (owned, 0, "&s", &kind);
  import = find_import (kind);
  if (import == NULL)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_NOT_SUPPORTED,
                   "Nothing of kind “%s” can be shared by this version",
                   kind);
      return NULL;
    }
  return import (owned, fd_list, error);
}
