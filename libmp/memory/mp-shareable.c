/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-shareable-private.h"

#include "mp-error-private.h"
#include "mp-fd-private.h"
#include "mp-lender-private.h"
#include "mp-registry-private.h"

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
 * # Without descriptors
 *
 * Where only a message can be sent, as through a [class@Mp.Queue], a handle can
 * be made without a list of descriptors. The process that made it then lends
 * them: whoever imports the handle takes them from there, and so has to run as
 * the same user, in the same process id namespace, while that process lives and
 * has the object, or not longer than a minute after it dropped it. A process keeps
 * one descriptor open for each file that it lends, however many objects are in it.
 *
 * # By name
 *
 * [method@Mp.Shareable.publish] gives an object a name, by which other processes
 * of the same user open it with [func@Mp.Shareable.open]. The name resolves while
 * any process has the object that was published or one that was opened by it,
 * whichever of them ends first, and a child of fork() that inherited one counts
 * as well. Nothing has to be running, and nothing is left when all have been
 * killed.
 *
 * Names are kept in the folder `$XDG_RUNTIME_DIR/libmp/names`, or, if that
 * variable does not name a folder of this user, in `/tmp/libmp-UID`, UID being the
 * user's number. Nobody else may be able to enter it: if it is another user's, or
 * open to others, that is an error.
 *
 * # Trust
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

/* Of a layout: who lends the descriptors of the handle. */
#define LENDER_KEY "lender"

/* Complete before any thread runs, so that there is no lock, which a fork might
 * find taken. */
static Kind kinds[MAX_KINDS];
static guint n_kinds;

static void
mp_shareable_default_init (MpShareableInterface *iface)
{
}

void
mp_shareable_register_kind (const char *kind, MpShareableImport import)
{
  g_assert_cmpuint (n_kinds, <, MAX_KINDS);
  kinds[n_kinds++] = (Kind){ .name = kind, .import = import };
}

static MpShareableImport
find_import (const char *kind)
{
  for (guint i = 0; i < n_kinds; i++)
    {
      if (g_str_equal (kinds[i].name, kind))
        return kinds[i].import;
    }
  return NULL;
}

/* What this process keeps for as long as it has the object. */

static void
lent_free (gpointer lent)
{
  mp_lender_linger (lent);
}

static gpointer
ref_array (gpointer array, gpointer user_data)
{
  return array != NULL ? g_ptr_array_ref (array) : NULL;
}

static gpointer
ref_lent (gconstpointer lent, gpointer user_data)
{
  return mp_lent_ref ((gpointer) lent);
}

static gpointer
ref_hold (gconstpointer hold, gpointer user_data)
{
  return mp_registry_hold_ref ((gpointer) hold);
}

typedef struct
{
  const char *key;
  GCopyFunc ref_item;
  GDestroyNotify unref_item;
  GDestroyNotify destroy; /* of the array, when the object is gone */
} Memory;

static const Memory memory_of_lent = {
  .key = "mp-shareable-lent",
  .ref_item = ref_lent,
  .unref_item = (GDestroyNotify) mp_lent_unref,
  .destroy = lent_free,
};

static const Memory memory_of_holds = {
  .key = "mp-shareable-holds",
  .ref_item = ref_hold,
  .unref_item = (GDestroyNotify) mp_registry_hold_unref,
  .destroy = (GDestroyNotify) g_ptr_array_unref,
};

/* Adds @items to what is noted at @self. The array is replaced and never changed,
 * so that no lock is needed, which a fork might find taken. */
static void
remember (MpShareable *self, const Memory *memory, gpointer *items, guint n_items)
{
  GQuark quark = g_quark_from_static_string (memory->key);

  for (;;)
    {
      g_autoptr (GPtrArray) known = g_object_dup_qdata (G_OBJECT (self), quark, ref_array, NULL);
      g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (memory->unref_item);

      if (known != NULL)
        g_ptr_array_extend (all, known, memory->ref_item, NULL);
      for (guint i = 0; i < n_items; i++)
        {
          if (!g_ptr_array_find (all, items[i], NULL))
            g_ptr_array_add (all, memory->ref_item (items[i], NULL));
        }
      if (all->len == (known != NULL ? known->len : 0))
        return;
      if (!g_object_replace_qdata (G_OBJECT (self), quark, known, all, memory->destroy, NULL))
        continue;
      /* What the object had. */
      if (known != NULL)
        g_ptr_array_unref (known);
      all = NULL;
      return;
    }
}

/* Making handles */

static GVariant *
describe_lender (GPtrArray *lent)
{
  g_auto (GVariantBuilder) fds = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a" MP_FD_NAME_TYPE));
  MpProcessId self = mp_process_id_get_self ();

  for (guint i = 0; i < lent->len; i++)
    {
      MpFdName name = mp_lent_get_name (g_ptr_array_index (lent, i));

      g_variant_builder_add_value (&fds, mp_fd_name_to_variant (&name));
    }
  return g_variant_new ("(ttt@a" MP_FD_NAME_TYPE ")",
                        self.namespace,
                        self.pid,
                        self.start,
                        g_variant_builder_end (&fds));
}

/* The same handle, for those to whom its descriptors are not sent. */
static GVariant *
add_lender (GVariant *handle, GPtrArray *lent)
{
  g_autoptr (GVariant) old_layout = NULL;
  g_autoptr (GVariant) indexes = NULL;
  GVariantDict layout;
  const char *kind = NULL;
  guint32 version;

  g_variant_get (handle, "(&su@a{sv}@ah)", &kind, &version, &old_layout, &indexes);
  g_variant_dict_init (&layout, old_layout);
  g_variant_dict_insert_value (&layout, LENDER_KEY, describe_lender (lent));
  return g_variant_ref_sink (
    g_variant_new ("(su@a{sv}@ah)", kind, version, g_variant_dict_end (&layout), indexes));
}

static GVariant *
make_lent_handle (MpShareable *self, GError **error)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = MP_SHAREABLE_GET_IFACE (self)->to_handle (self, fd_list, error);
  g_autoptr (GPtrArray) lent = NULL;

  if (handle == NULL)
    return NULL;
  lent = mp_lender_lend_all (fd_list, error);
  if (lent == NULL)
    return NULL;
  remember (self, &memory_of_lent, lent->pdata, lent->len);
  return add_lender (handle, lent);
}

/**
 * mp_shareable_to_handle:
 * @self: the object to share
 * @fd_list: (nullable): where the handle's descriptors are appended, or `NULL` for a
 *   handle without descriptors
 * @error: return location for an error
 *
 * Makes a handle of @self. Its descriptors are duplicated into @fd_list; the
 * handle refers to them by their places there.
 *
 * Without @fd_list the handle is a message like any other, and names this process
 * as the one that lends the descriptors: see [iface@Mp.Shareable] for how long it
 * is good.
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
  g_autoptr (GError) local_error = NULL;
  GVariant *handle;

  g_return_val_if_fail (MP_IS_SHAREABLE (self), NULL);
  g_return_val_if_fail (fd_list == NULL || G_IS_UNIX_FD_LIST (fd_list), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  iface = MP_SHAREABLE_GET_IFACE (self);
  g_return_val_if_fail (iface->to_handle != NULL, NULL);
  if (fd_list != NULL)
    return iface->to_handle (self, fd_list, error);
  handle = make_lent_handle (self, &local_error);
  /* What lingers is worth less than this. */
  if (handle == NULL && g_error_matches (local_error, MP_ERROR, MP_ERROR_LIMIT) &&
      mp_lender_purge (TRUE) > 0)
    {
      g_clear_error (&local_error);
      handle = make_lent_handle (self, &local_error);
    }
  if (handle == NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return handle;
}

/* Importing */

static GUnixFDList *
borrow_fds (GVariant *lender, GError **error)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) fds = NULL;
  MpProcessId owner;

  g_variant_get (lender,
                 "(ttt@a" MP_FD_NAME_TYPE ")",
                 &owner.namespace,
                 &owner.pid,
                 &owner.start,
                 &fds);
  if (g_variant_n_children (fds) > MP_FD_NAME_MAX)
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_CORRUPT,
                           "A handle that borrows more descriptors than any can have");
      return NULL;
    }
  for (gsize i = 0; i < g_variant_n_children (fds); i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (fds, i);
      g_auto (MpFd) fd = -1;
      MpFdName name;

      mp_fd_name_from_variant (&name, child);
      fd = mp_fd_name_open (&name, &owner, error);
      if (fd < 0)
        return NULL;
      if (g_unix_fd_list_append (fd_list, fd, NULL) < 0)
        {
          g_set_error_literal (error, MP_ERROR, MP_ERROR_LIMIT, "Too many open files");
          return NULL;
        }
    }
  return g_steal_pointer (&fd_list);
}

static MpShareable *
import_handle (MpShareableImport import, GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  g_autoptr (GVariant) layout = g_variant_get_child_value (handle, 2);
  g_autoptr (GVariant) lender =
    g_variant_lookup_value (layout, LENDER_KEY, G_VARIANT_TYPE ("(ttta" MP_FD_NAME_TYPE ")"));
  g_autoptr (GUnixFDList) borrowed = NULL;

  if (lender == NULL)
    return import (handle, fd_list, error);
  borrowed = borrow_fds (lender, error);
  if (borrowed == NULL)
    {
      g_prefix_error (error, "A handle without descriptors: ");
      return NULL;
    }
  return import (handle, borrowed, error);
}

/**
 * mp_shareable_new_from_handle:
 * @handle: a handle, of type `(sua{sv}ah)`
 * @fd_list: (nullable): the descriptors that came with it
 * @error: return location for an error
 *
 * Makes an object that stands for what @handle names. The descriptors are
 * duplicated; @fd_list stays the caller's. It is not looked at if @handle was made
 * without descriptors: those are taken from the process that made it, and
 * [error@Mp.Error.NOT_FOUND] says that it is gone or has them no longer.
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
  return import_handle (import, owned, fd_list, error);
}

/* Names */

/**
 * mp_shareable_publish:
 * @self: the object
 * @name: the name: not empty, without slashes, at most 200 bytes, neither `.` nor `..`
 * @error: return location for an error
 *
 * Gives @self a name by which other processes of this user can open it. See
 * [iface@Mp.Shareable] for how long the name lasts. One object can have
 * several names.
 *
 * These are not the names of [class@Mp.SharedMemory].
 *
 * Returns: whether it has the name now; if not, @error is set:
 *   [error@Mp.Error.EXISTS] if something has it,
 *   [error@Mp.Error.INVALID_ARGUMENT] if it cannot be a name,
 *   [error@Mp.Error.BUSY] if a process stands still in the middle of changing it,
 *   [error@Mp.Error.LIMIT] if there is no room for it or no file descriptor left,
 *   [error@Mp.Error.FAILED] if the folder of names cannot be used
 *
 * Since: 0.1
 */
gboolean
mp_shareable_publish (MpShareable *self, const char *name, GError **error)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (MpRegistryHold) hold = NULL;

  g_return_val_if_fail (MP_IS_SHAREABLE (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!mp_registry_check_name (name, error))
    return FALSE;
  handle = mp_shareable_to_handle (self, fd_list, error);
  if (handle == NULL)
    return FALSE;
  hold = mp_registry_create (MP_REGISTRY_OBJECTS, name, handle, fd_list, error);
  if (hold == NULL)
    return FALSE;
  remember (self, &memory_of_holds, (gpointer *) &hold, 1);
  return TRUE;
}

/**
 * mp_shareable_open:
 * @name: a name
 * @error: return location for an error
 *
 * Opens what was published under @name. While the caller has the object, the
 * name lasts, whatever becomes of the one who published it.
 *
 * Returns: (transfer full) (nullable): the object, or `NULL` with @error set:
 *   [error@Mp.Error.NOT_FOUND] if nothing has that name; otherwise as by
 *   [method@Mp.Shareable.publish] and [func@Mp.Shareable.new_from_handle]
 *
 * Since: 0.1
 */
MpShareable *
mp_shareable_open (const char *name, GError **error)
{
  g_autoptr (MpRegistryHold) hold = NULL;
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GVariant) handle = NULL;
  MpShareable *self;

  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  hold = mp_registry_open (MP_REGISTRY_OBJECTS, name, &handle, &fd_list, error);
  if (hold == NULL)
    return NULL;
  self = mp_shareable_new_from_handle (handle, fd_list, error);
  if (self != NULL)
    remember (self, &memory_of_holds, (gpointer *) &hold, 1);
  return self;
}

/**
 * mp_shareable_unpublish:
 * @name: a name
 * @error: return location for an error
 *
 * Takes the name from whatever has it, whoever published it. Those who have the
 * object keep it.
 *
 * Returns: whether something had that name; if not, @error is set:
 *   [error@Mp.Error.NOT_FOUND], or as by [method@Mp.Shareable.publish]
 *
 * Since: 0.1
 */
gboolean
mp_shareable_unpublish (const char *name, GError **error)
{
  g_return_val_if_fail (name != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return mp_registry_unlink (MP_REGISTRY_OBJECTS, name, 0, error);
}
