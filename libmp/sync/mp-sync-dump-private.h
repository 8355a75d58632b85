/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-sync-dump.h"

#include "../memory/mp-arena-private.h"

G_BEGIN_DECLS

/* What mp_sync_dump() tells of one kind of block. */
typedef struct
{
  guint32 kind;
  const char *name; /* "lock" */
  gsize min_size;
  /* Says how it is: "held", "set", "3 of 4 have arrived". */
  void (*describe) (gpointer memory, gsize size, GString *text);
  /* Who has what others wait for, and which of its threads, 0 if that is not
   * known; MP_PARTICIPANT_NONE: nobody. NULL: nobody can be told. */
  guint32 (*get_holder) (gpointer memory, guint32 *thread);
} MpSyncKind;

/* @kind: for ever. From a constructor function. */
void mp_sync_register_kind (const MpSyncKind *kind);

G_END_DECLS
