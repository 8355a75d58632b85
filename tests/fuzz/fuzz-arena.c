/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Blocks of an arena, and what is made of them, while a hostile process writes
 * into its file. */

#include "fuzz-hostile.h"

#include <string.h>
#include <unistd.h>

#include "../../libmp/base/mp-error.h"
#include "../../libmp/libmp.h"

#define N_BLOCKS 8
#define N_OBJECTS 6
#define MAX_OPERATIONS 300
#define KIND MP_BLOCK_KIND ('f', 'u', 'z', 'z')
#define NAME "fuzz"

const char *const fuzz_name = "fuzz-arena";

static MpArena *arena;
static MpBlock blocks[N_BLOCKS];
static GObject *objects[N_OBJECTS];

void
fuzz_setup (void)
{
}

/* --- Blocks ----------------------------------------------------------------- */

static gsize
choose_size (FuzzInput *input)
{
  static const gsize sizes[] = { 0, 1, 16, 17, 24, 64, 100, 1000, 4095, 4096, 4097, 70000, 300000 };
  guint choice = fuzz_choose (input, G_N_ELEMENTS (sizes) + 1);

  return choice < G_N_ELEMENTS (sizes) ? sizes[choice] : fuzz_u16 (input);
}

static void
make_block (FuzzInput *input, MpBlock *block)
{
  GError *error = NULL;
  gsize size = choose_size (input);

  mp_block_clear (block);
  if (!mp_block_new (block, arena, KIND, size, &error))
    {
      fuzz_check_error (error);
      return;
    }
  memset (block->memory, 0x55, size);
  fuzz_hostile_add_block (block->slot, block->generation, block->memory, size);
}

static void
use_block (MpBlock *block)
{
  guint8 *bytes = block->memory;

  for (gsize i = 0; block->arena != NULL && i < block->size; i += 512)
    bytes[i] ^= 1;
  if (block->arena != NULL && block->size > 0)
    bytes[block->size - 1] ^= 1;
}

/* What the handle says may be changed on its way. */
static GVariant *
change_handle (FuzzInput *input, GVariant *handle)
{
  g_autoptr (GVariant) layout = g_variant_get_child_value (handle, 2);
  g_autoptr (GVariant) indexes = g_variant_get_child_value (handle, 3);
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (layout);
  guint32 generation, slot = fuzz_hostile_slot (input, &generation);

  g_variant_dict_insert (&dict, "slot", "u", slot);
  g_variant_dict_insert (&dict, "generation", "u", generation);
  return g_variant_ref_sink (
    g_variant_new ("(su@a{sv}@ah)", NAME, 1, g_variant_dict_end (&dict), indexes));
}

static void
import_block (FuzzInput *input, MpBlock *from, MpBlock *to)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL, changed = NULL;
  GError *error = NULL;
  guint8 how = fuzz_u8 (input);
  MpBlock imported = MP_BLOCK_INIT;
  gsize min_size = (how & 4) != 0 ? choose_size (input) : 0;
  guint32 kind = (how & 8) != 0 ? fuzz_u32 (input) : KIND;

  if (from->arena == NULL)
    return;
  handle = mp_block_to_handle (from, NAME, 1, NULL, (how & 2) != 0 ? fd_list : NULL, &error);
  if (handle == NULL)
    {
      fuzz_check_error (error);
      return;
    }
  changed = (how & 1) != 0 ? change_handle (input, handle) : g_variant_ref (handle);
  if (!mp_block_from_handle (&imported, NAME, 1, kind, min_size, changed, fd_list, &error))
    {
      fuzz_check_error (error);
      return;
    }
  mp_block_clear (to);
  *to = imported;
  use_block (to);
}

static void
look_at_block (guint32 kind,
               guint32 slot,
               guint32 generation,
               gpointer memory,
               gsize size,
               gpointer user_data)
{
  volatile guint8 *bytes = memory;

  if (size > 0)
    *(guint *) user_data += bytes[0] + bytes[size - 1];
}

static void
look_at_all (void)
{
  guint sum = 0;

  mp_arena_foreach_block (arena, look_at_block, &sum);
  mp_arena_get_n_blocks (arena);
  mp_arena_get_file_size (arena);
}

/* --- Objects ---------------------------------------------------------------- */

static GObject *
make_object (FuzzInput *input, GError **error)
{
  guint8 choice = fuzz_u8 (input), type = fuzz_choose (input, MP_VALUE_TYPE_WCHAR + 1);

  switch (choice % 4)
    {
    case 0:
      return (GObject *) mp_lock_new (error);
    case 1:
      return (GObject *) mp_value_new (type, NULL, (choice & 4) != 0, error);
    case 2:
      return (GObject *) mp_array_new (type, fuzz_u8 (input), (choice & 4) != 0, error);
    default:
      return (GObject *) mp_event_new (error);
    }
}

static void
use_array (FuzzInput *input, MpArray *array)
{
  GError *error = NULL;
  gsize start = fuzz_u8 (input), n = fuzz_u8 (input);
  g_autoptr (GBytes) bytes = NULL;

  fuzz_consume_variant (mp_array_read (array, start, n, &error));
  fuzz_check_error (g_steal_pointer (&error));
  bytes = mp_array_get_bytes (array, start, n, &error);
  fuzz_check_error (g_steal_pointer (&error));
  if (bytes != NULL)
    mp_array_set_bytes (array, 0, bytes, &error);
  fuzz_check_error (g_steal_pointer (&error));
  mp_array_add (array, start, n, &error);
  fuzz_check_error (g_steal_pointer (&error));
  fuzz_consume_variant (mp_array_get_item (array, start, &error));
  fuzz_check_error (error);
}

static void
use_value (FuzzInput *input, MpValue *value)
{
  GError *error = NULL;

  fuzz_consume_variant (mp_value_get (value));
  mp_value_add (value, (gint64) fuzz_u64 (input), &error);
  fuzz_check_error (g_steal_pointer (&error));
  mp_value_get_double (value, &error);
  fuzz_check_error (error);
}

static void
use_object (FuzzInput *input, GObject *object)
{
  GError *error = NULL;
  gint64 timeout = fuzz_timeout (input);

  if (object == NULL)
    return;
  fuzz_operation ("using an object", timeout);
  fuzz_read_properties (object);
  if (MP_IS_ARRAY (object))
    use_array (input, MP_ARRAY (object));
  else if (MP_IS_VALUE (object))
    use_value (input, MP_VALUE (object));
  else if (MP_IS_EVENT (object))
    mp_event_wait (MP_EVENT (object), timeout, NULL, &error);
  else if (mp_lock_acquire (MP_LOCK (object), timeout, NULL, &error))
    mp_lock_release (MP_LOCK (object), &error);
  fuzz_check_error (error);
}

static void
import_object (GObject *object, GObject **to)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  GError *error = NULL;
  GObject *imported;

  if (object == NULL)
    return;
  handle = mp_shareable_to_handle (MP_SHAREABLE (object), fd_list, &error);
  imported =
    handle != NULL ? (GObject *) mp_shareable_new_from_handle (handle, fd_list, &error) : NULL;
  fuzz_check_error (error);
  if (imported != NULL)
    {
      g_clear_object (to);
      *to = imported;
    }
}

/* --- The script ------------------------------------------------------------- */

static void
operate_on_object (FuzzInput *input)
{
  GObject **object = &objects[fuzz_choose (input, N_OBJECTS)];
  GError *error = NULL;

  switch (fuzz_choose (input, 4))
    {
    case 0:
      fuzz_operation ("making an object", 0);
      g_clear_object (object);
      *object = make_object (input, &error);
      fuzz_check_error (error);
      if (*object != NULL)
        fuzz_hostile_add_object (*object);
      break;
    case 1:
      fuzz_operation ("dropping an object", 0);
      g_clear_object (object);
      break;
    case 2:
      fuzz_operation ("importing an object", 0);
      import_object (*object, &objects[fuzz_choose (input, N_OBJECTS)]);
      break;
    default:
      use_object (input, *object);
      break;
    }
}

static void
operate_on_arena (FuzzInput *input)
{
  g_autofree char *text = NULL;

  switch (fuzz_choose (input, 7))
    {
    case 0:
      fuzz_operation ("sweeping", 0);
      mp_arena_sweep (arena);
      break;
    case 1:
      fuzz_operation ("the end of lingering", 0);
      fuzz_hostile_end_lingers ();
      break;
    case 2:
      fuzz_operation ("looking at all blocks", 0);
      look_at_all ();
      break;
    case 3:
      fuzz_operation ("mp_sync_dump", 0);
      text = mp_sync_dump ();
      break;
    case 4:
      fuzz_operation ("mp_sync_find_deadlock", 0);
      mp_sync_find_deadlock (&text);
      break;
    case 5:
      fuzz_operation ("forking", 0);
      fuzz_hostile_fork ();
      break;
    default:
      fuzz_hostile_toggle_peer ();
      break;
    }
}

static void
operate (FuzzInput *input)
{
  MpBlock *block;

  switch (fuzz_choose (input, 8))
    {
    case 0:
      block = &blocks[fuzz_choose (input, N_BLOCKS)];
      fuzz_operation ("mp_block_new", 0);
      make_block (input, block);
      break;
    case 1:
      block = &blocks[fuzz_choose (input, N_BLOCKS)];
      fuzz_operation ("mp_block_clear", 0);
      use_block (block);
      mp_block_clear (block);
      break;
    case 2:
      block = &blocks[fuzz_choose (input, N_BLOCKS)];
      fuzz_operation ("mp_block_from_handle", 0);
      import_block (input, block, &blocks[fuzz_choose (input, N_BLOCKS)]);
      break;
    case 3:
      operate_on_arena (input);
      break;
    case 4:
      operate_on_object (input);
      break;
    default:
      fuzz_hostile_poke (input);
      break;
    }
}

void
fuzz_run (FuzzInput *input)
{
  arena = fuzz_hostile_begin ();
  fuzz_begin (input, fuzz_hostile_poke);
  for (guint i = 0; i < MAX_OPERATIONS && fuzz_has_more (input); i++)
    operate (input);
  fuzz_operation ("dropping everything", 0);
  for (guint i = 0; i < N_OBJECTS; i++)
    g_clear_object (&objects[i]);
  for (guint i = 0; i < N_BLOCKS; i++)
    mp_block_clear (&blocks[i]);
  fuzz_hostile_end ();
  fuzz_end ();
}
