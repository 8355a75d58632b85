/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "../base/mp-enums.h"

G_BEGIN_DECLS

#define MP_LIMIT_LAST MP_LIMIT_STACK
#define MP_UMASK_INHERIT (-1)
#define MP_LIMIT_UNSET (-1)

/* What a new process changes of what it inherits. */
typedef struct
{
  int umask; /* MP_UMASK_INHERIT: none */
  int nice;  /* what is added */
  guint *cpus;
  gsize n_cpus; /* 0: as they are */
  gint64 limits[MP_LIMIT_LAST + 1];
} MpSurroundings;

void mp_surroundings_init (MpSurroundings *self);
void mp_surroundings_copy (const MpSurroundings *self, MpSurroundings *copy);
void mp_surroundings_clear (MpSurroundings *self);

/* How they travel, a word and numbers in each string: "umask 18", "nice 5", "cpus 0 2",
 * and "limit RESOURCE SOFT HARD" with a number of setrlimit(). NULL: nothing is
 * changed. (multiprocessing_gi/_zygote.py reads it, too.) */
char **mp_surroundings_to_strings (const MpSurroundings *self);

/* Whether the system will have it so. The caller's thread tries, and takes it back. */
gboolean mp_surroundings_check (const MpSurroundings *self, GError **error);

/* The limits, for people: " with a limit on stack of 1"; empty if there are none. */
char *mp_surroundings_describe_limits (const MpSurroundings *self);

/* In the new process, for all of its threads. */
gboolean mp_surroundings_apply (char *const *strings, GError **error);

G_END_DECLS
