/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-context-private.h"

G_BEGIN_DECLS

/* What is to be started; borrowed. */
typedef struct
{
  char **argv; /* a command, or NULL and … */
  const char *task;
  GBytes *data; /* NULL: none */
  MpCodec codec;
  GUnixFDList *fd_list;
  int std_fds[3]; /* -1: the caller's, /dev/null for the input of a task */
} MpProcessStart;

/* Has it started, in the way @context says. *@link is the zygote that was asked,
 * NULL if this process forked; *@id is the number that the callbacks come with.
 * FALSE with @error: no callback comes. */
gboolean mp_process_start_ask (MpContext *context,
                               const MpProcessStart *what,
                               const MpZygoteCallbacks *callbacks,
                               GObject *owner,
                               MpZygoteLink **link,
                               guint64 *id,
                               GError **error);

G_END_DECLS
