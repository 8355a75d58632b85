/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* How a block travels: a handle names the arena, by its descriptor and by a
 * number, and the block in it. What comes back is not believed. */

#include "mp-arena-layout-private.h"

#include <errno.h>

#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"
#include "../base/mp-namespace-private.h"
#include "mp-handle-private.h"

/* Which descriptors of a list are arenas. */
typedef struct
{
  dev_t device;
  ino_t inode;
  gint32 index;
} Listed;

static GQuark
listed_quark (void)
{
  return g_quark_from_static_string ("mp-arena-descriptors");
}

static gboolean
is_listed (const Listed *listed, MpArena *arena, GUnixFDList *fd_list)
{
  int n = 0;
  const int *fds = g_unix_fd_list_peek_fds (fd_list, &n);

  /* Somebody may have taken them out since. */
  return listed->inode == arena->inode && listed->device == arena->device && listed->index < n &&
         mp_fd_is_file (fds[listed->index], arena->device, arena->inode);
}

/* The place of the arena's descriptor in @fd_list; -1 with @error set. */
static gint32
list_descriptor (MpArena *arena, GUnixFDList *fd_list, GError **error)
{
  GArray *all = g_object_get_qdata (G_OBJECT (fd_list), listed_quark ());
  Listed listed = { .device = arena->device, .inode = arena->inode };
  g_autoptr (GError) local_error = NULL;

  for (guint i = 0; all != NULL && i < all->len; i++)
    {
      const Listed *known = &g_array_index (all, Listed, i);

      if (is_listed (known, arena, fd_list))
        return known->index;
    }
  if (!mp_fd_is_file (arena->segment.fd, arena->device, arena->inode))
    {
      mp_arena_set_error (MP_ARENA_NO_MEMORY, EBADF, "Making a handle", error);
      return -1;
    }
  listed.index = g_unix_fd_list_append (fd_list, arena->segment.fd, &local_error);
  if (listed.index < 0)
    {
      g_set_error (error, MP_ERROR, MP_ERROR_LIMIT, "Making a handle: %s", local_error->message);
      return -1;
    }
  if (all == NULL)
    {
      all = g_array_new (FALSE, FALSE, sizeof (Listed));
      g_object_set_qdata_full (G_OBJECT (fd_list),
                               listed_quark (),
                               all,
                               (GDestroyNotify) g_array_unref);
    }
  g_array_append_val (all, listed);
  return listed.index;
}

static void
add_layout (GVariantBuilder *builder, GVariant *layout)
{
  GVariantIter iter;
  const char *key = NULL;
  GVariant *value = NULL;

  g_variant_iter_init (&iter, layout);
  while (g_variant_iter_next (&iter, "{&sv}", &key, &value))
    {
      g_variant_builder_add (builder, "{sv}", key, value);
      g_variant_unref (value);
    }
}

GVariant *
mp_block_to_handle (MpBlock *self,
                    const char *name,
                    guint32 version,
                    GVariant *layout,
                    GUnixFDList *fd_list,
                    GError **error)
{
  const guint64 *id = &self->arena->segment.header.parameters[MP_ARENA_PARAMETER_ID];
  g_autoptr (GVariant) owned = layout != NULL ? g_variant_ref_sink (layout) : NULL;
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);
  g_auto (GVariantBuilder) indexes = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("ah"));
  MpArenaLocal *local;

  if (fd_list != NULL)
    {
      gint32 index = list_descriptor (self->arena, fd_list, error);

      if (index < 0)
        return NULL;
      g_variant_builder_add (&indexes, "h", index);
    }
  pthread_mutex_lock (&self->arena->mutex);
  local = mp_arena_find_local (self->arena, self->slot, self->generation);
  if (local != NULL)
    local->n_uses |= MP_ARENA_EXPORTED;
  pthread_mutex_unlock (&self->arena->mutex);
  g_variant_builder_add (&builder, "{sv}", "arena", g_variant_new ("(tt)", id[0], id[1]));
  g_variant_builder_add (&builder, "{sv}", "slot", g_variant_new_uint32 (self->slot));
  g_variant_builder_add (&builder, "{sv}", "generation", g_variant_new_uint32 (self->generation));
  g_variant_builder_add (&builder, "{sv}", "pidns", g_variant_new_uint64 (mp_get_pid_namespace ()));
  if (owned != NULL)
    add_layout (&builder, owned);
  return g_variant_ref_sink (g_variant_new ("(su@a{sv}@ah)",
                                            name,
                                            version,
                                            g_variant_builder_end (&builder),
                                            g_variant_builder_end (&indexes)));
}

/* What a handle says. */
typedef struct
{
  guint64 id[2];
  guint32 slot;
  guint32 generation;
  gint32 index; /* -1: no descriptor */
} Parsed;

static gboolean
parse_handle (GVariant *handle, const char *name, guint32 version, Parsed *parsed, GError **error)
{
  g_autoptr (GVariant) layout = mp_handle_check (handle, name, version, error);
  g_autoptr (GVariant) indexes = NULL;

  if (layout == NULL)
    return FALSE;
  indexes = g_variant_get_child_value (handle, 3);
  parsed->index = -1;
  if (g_variant_n_children (indexes) > 0)
    g_variant_get_child (indexes, 0, "h", &parsed->index);
  if (g_variant_lookup (layout, "arena", "(tt)", &parsed->id[0], &parsed->id[1]) &&
      g_variant_lookup (layout, "slot", "u", &parsed->slot) &&
      g_variant_lookup (layout, "generation", "u", &parsed->generation))
    return TRUE;
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_CORRUPT,
               "The handle of a %s does not say where it is",
               name);
  return FALSE;
}

/* The arena that a handle names, a full reference. */
static MpArena *
find_arena (const Parsed *parsed, const char *name, GUnixFDList *fd_list, GError **error)
{
  MpArena *arena = mp_arena_find_by_id (parsed->id[0], parsed->id[1]);
  const int *fds = NULL;
  int n = 0;

  if (fd_list != NULL)
    fds = g_unix_fd_list_peek_fds (fd_list, &n);
  if (parsed->index < 0 || fd_list == NULL)
    {
      if (arena == NULL)
        g_set_error (error,
                     MP_ERROR,
                     MP_ERROR_NOT_FOUND,
                     "The handle of a %s came without the descriptor of its memory",
                     name);
      return arena;
    }
  if (parsed->index >= n)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_CORRUPT,
                   "The handle of a %s names descriptor %d of %d that came with it",
                   name,
                   parsed->index,
                   n);
      g_clear_pointer (&arena, mp_arena_unref);
      return NULL;
    }
  if (arena != NULL && mp_fd_is_file (fds[parsed->index], arena->device, arena->inode))
    return arena;
  g_clear_pointer (&arena, mp_arena_unref);
  return mp_arena_attach (fds[parsed->index], error);
}

/* Whether a block is what it is said to be; its size. Under the shared lock. */
static MpArenaStatus
check_block (MpArenaChunk *chunk, guint32 slot, guint32 kind, gsize min_size, gsize *size)
{
  MpArenaSlot *held = &mp_arena_slots (chunk)[mp_arena_index_of (slot)];

  *size = (gsize) atomic_load_explicit (&held->size, memory_order_relaxed);
  return mp_arena_load (&held->kind) == kind && *size >= min_size &&
             *size <= (gsize) 1 << mp_arena_class_shift (chunk->class_)
           ? MP_ARENA_DONE
           : MP_ARENA_CORRUPT;
}

/* Under the mutex: what @block names is held by this process. */
static MpArenaStatus
hold (MpArena *arena, MpBlock *block, gsize min_size, guint32 word)
{
  MpArenaLocal *local = mp_arena_find_local (arena, block->slot, block->generation);
  gboolean held = local != NULL && (local->n_uses & MP_ARENA_UNHELD) == 0;
  MpArenaChunk *chunk = NULL;
  MpArenaStatus status = mp_arena_lock (arena);

  if (status != MP_ARENA_DONE)
    return status;
  status = mp_arena_find (arena, block->slot, block->generation, &chunk);
  if (status == MP_ARENA_DONE)
    status = check_block (chunk, block->slot, block->kind, min_size, &block->size);
  if (status == MP_ARENA_DONE && !held)
    status = mp_arena_add_hold (arena, block->slot, block->generation, word);
  mp_arena_unlock (arena);
  if (status == MP_ARENA_DONE && local != NULL)
    local->n_uses &= ~MP_ARENA_UNHELD;
  return status;
}

static MpArenaStatus
attach_block (MpBlock *self,
              MpArena *arena,
              const Parsed *parsed,
              guint32 kind,
              gsize min_size,
              guint32 word)
{
  MpBlock block = { .kind = kind, .slot = parsed->slot, .generation = parsed->generation };
  MpArenaStatus status = hold (arena, &block, min_size, word);

  if (status != MP_ARENA_DONE)
    return status;
  mp_arena_use (arena, &block);
  *self = block;
  return MP_ARENA_DONE;
}

gboolean
mp_block_from_handle (MpBlock *self,
                      const char *name,
                      guint32 version,
                      guint32 kind,
                      gsize min_size,
                      GVariant *handle,
                      GUnixFDList *fd_list,
                      GError **error)
{
  g_autoptr (MpArena) arena = NULL;
  Parsed parsed;
  MpArenaStatus status = MP_ARENA_CORRUPT;
  guint32 word;
  int saved = 0;

  if (!parse_handle (handle, name, version, &parsed, error))
    return FALSE;
  arena = find_arena (&parsed, name, fd_list, error);
  if (arena == NULL)
    return FALSE;
  pthread_mutex_lock (&arena->mutex);
  mp_arena_work_off_lingers (arena);
  word = mp_arena_get_word (arena, error);
  if (word != MP_PARTICIPANT_NONE)
    {
      status = attach_block (self, arena, &parsed, kind, min_size, word);
      saved = errno;
    }
  pthread_mutex_unlock (&arena->mutex);
  if (word == MP_PARTICIPANT_NONE)
    return FALSE;
  if (status != MP_ARENA_DONE)
    {
      g_autofree char *what = g_strdup_printf ("Attaching to a shared %s", name);

      return mp_arena_set_error (status, saved, what, error);
    }
  return TRUE;
}
