/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-context.h"
#include "mp-surroundings-private.h"
#include "mp-zygote-link-private.h"

G_BEGIN_DECLS

/* A consistent copy of a context's configuration, as one start needs it. */
typedef struct
{
  MpStartMethod start_method;
  MpRuntime runtime;
  char **interpreter;
  char **preload;
  GBytes *preparation;
  char **environment; /* NULL: this process's */
  char *working_directory;
  MpSurroundings surroundings;
  gboolean outlive_parent;
  MpZygoteLink *adopted; /* the one link there is; NULL: as the rest says */
} MpContextConfig;

struct _MpContext
{
  GObject parent_instance;

  GMutex mutex;
  MpContextConfig config;
  MpZygoteLink *links[MP_ZYGOTE_N_KINDS]; /* by kind; NULL: not wanted yet */
};

/* Sets a number of the configuration and notifies of a change. */
void mp_context_set_number (MpContext *self, int *place, int value, const char *property);

/* Before the context is used; takes the reference. */
void mp_context_set_adopted (MpContext *self, MpZygoteLink *link);

void mp_context_get_config (MpContext *self, MpContextConfig *config);
void mp_context_config_clear (MpContextConfig *config);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MpContextConfig, mp_context_config_clear)

/* The zygote of this kind for this configuration; the context holds it, too. */
MpZygoteLink *mp_context_ref_link (MpContext *self,
                                   const MpContextConfig *config,
                                   MpZygoteKind kind,
                                   GError **error);

/* Which zygote starts tasks; MP_ERROR_NOT_SUPPORTED when none does. */
gboolean mp_context_config_get_task_kind (const MpContextConfig *config,
                                          MpZygoteKind *kind,
                                          GError **error);

G_END_DECLS
