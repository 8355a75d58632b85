/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>

#include "../base/mp-enums.h"

G_BEGIN_DECLS

#define MP_TYPE_CONTEXT (mp_context_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpContext, mp_context, MP, CONTEXT, GObject)

MP_AVAILABLE_IN_ALL
MpContext *mp_context_new (MpStartMethod start_method, MpRuntime runtime);

MP_AVAILABLE_IN_ALL
MpContext *mp_context_new_for_zygote (int socket_fd, int pid, GError **error);
MP_AVAILABLE_IN_ALL
MpContext *mp_context_get_default (void);

MP_AVAILABLE_IN_ALL
MpStartMethod mp_context_get_start_method (MpContext *self);
MP_AVAILABLE_IN_ALL
MpRuntime mp_context_get_runtime (MpContext *self);

/* How an interpreter is called: its path and its options. */
MP_AVAILABLE_IN_ALL
const char *const *mp_context_get_interpreter (MpContext *self);
MP_AVAILABLE_IN_ALL
void mp_context_set_interpreter (MpContext *self, const char *const *interpreter);
MP_AVAILABLE_IN_ALL
const char *const *mp_context_get_preload (MpContext *self);
MP_AVAILABLE_IN_ALL
void mp_context_set_preload (MpContext *self, const char *const *preload);
/* Opaque to C: handed to the zygote of an interpreter (Python: pickled preparation data). */
MP_AVAILABLE_IN_ALL
GBytes *mp_context_get_preparation (MpContext *self);
MP_AVAILABLE_IN_ALL
void mp_context_set_preparation (MpContext *self, GBytes *preparation);
MP_AVAILABLE_IN_ALL
const char *const *mp_context_get_environment (MpContext *self);
MP_AVAILABLE_IN_ALL
void mp_context_set_environment (MpContext *self, const char *const *environment);
MP_AVAILABLE_IN_ALL
const char *mp_context_get_working_directory (MpContext *self);
MP_AVAILABLE_IN_ALL
void mp_context_set_working_directory (MpContext *self, const char *directory);

MP_AVAILABLE_IN_ALL
int mp_context_get_umask (MpContext *self);
MP_AVAILABLE_IN_ALL
void mp_context_set_umask (MpContext *self, int umask);
MP_AVAILABLE_IN_ALL
int mp_context_get_nice (MpContext *self);
MP_AVAILABLE_IN_ALL
void mp_context_set_nice (MpContext *self, int nice);
MP_AVAILABLE_IN_ALL
gboolean mp_context_get_outlive_parent (MpContext *self);
MP_AVAILABLE_IN_ALL
void mp_context_set_outlive_parent (MpContext *self, gboolean outlive_parent);
MP_AVAILABLE_IN_ALL
guint *mp_context_get_cpus (MpContext *self, gsize *n_cpus) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_context_set_cpus (MpContext *self, const guint *cpus, gsize n_cpus);
MP_AVAILABLE_IN_ALL
gint64 mp_context_get_limit (MpContext *self, MpLimit limit);
MP_AVAILABLE_IN_ALL
void mp_context_set_limit (MpContext *self, MpLimit limit, gint64 value);

MP_AVAILABLE_IN_ALL
gboolean mp_context_warm_up (MpContext *self, GCancellable *cancellable, GError **error);
MP_AVAILABLE_IN_ALL
int mp_context_get_zygote_pid (MpContext *self);

G_END_DECLS
