/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "mp-zygote-protocol-private.h"

G_BEGIN_DECLS

/* The requester's end of a zygote: starts it when it is first needed and again
 * when it died, and knows which processes came from it. Contexts that want the
 * same zygote share one link. The functions can be called from any thread; the
 * callbacks come on the pump, with no lock held. */
typedef struct _MpZygoteLink MpZygoteLink;

typedef struct
{
  MpZygoteKind kind;
  const char *const *interpreter; /* of those only, as the rest */
  const char *const *preload;
  const char *const *env; /* NULL: this process's */
  GBytes *preparation;    /* does not tell links apart */
} MpZygoteConfig;

/* Each start ends in @failed, or in @started and then @exited: the owner has the pidfd
 * of the one on loan until it is given that of the other, which is the same. */
typedef struct
{
  void (*started) (gpointer owner, guint64 id, int pid, int pidfd);
  void (*failed) (gpointer owner, guint64 id, const GError *error);
  void (*exited) (gpointer owner, guint64 id, int exit_code, int pidfd /* (transfer full) */);
} MpZygoteCallbacks;

typedef void (*MpZygoteReadyFunc) (const GError *error, gpointer user_data);

MpZygoteLink *mp_zygote_link_get (const MpZygoteConfig *config, GError **error);
/* To a process of the caller's making, a child of this one, that does as a Python
 * zygote does and is ready. Takes @socket_fd. */
MpZygoteLink *mp_zygote_link_new_adopted (int socket_fd, int pid, GError **error);
MpZygoteLink *mp_zygote_link_ref (MpZygoteLink *self);
void mp_zygote_link_unref (MpZygoteLink *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpZygoteLink, mp_zygote_link_unref)

/* FALSE in a process that was forked from the one that made it: of no use there. */
gboolean mp_zygote_link_is_ours (MpZygoteLink *self);

/* Whether @env, or @preparation, has to be sent along with a start. */
gboolean mp_zygote_link_needs_env (MpZygoteLink *self, const char *const *env);
gboolean mp_zygote_link_needs_preparation (MpZygoteLink *self, GBytes *preparation);

/* What a process is started with. */
typedef struct
{
  int body_fd;
  int cwd_fd;
  int std_fds[3]; /* -1: this process's own at that moment, /dev/null for the input of a task */
  GUnixFDList *fd_list;
  gboolean group;    /* it is a command */
  gboolean outlives; /* it is bound to nobody */
} MpZygoteRequest;

#define MP_ZYGOTE_REQUEST_INIT                                                                     \
  {                                                                                                \
    .body_fd = -1, .cwd_fd = -1, .std_fds = { -1, -1, -1 }                                         \
  }

void mp_zygote_request_clear (MpZygoteRequest *request);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MpZygoteRequest, mp_zygote_request_clear)

/* Takes what @request holds, keeps a reference on @owner until the last callback.
 * Returns a number for the other calls. */
guint64 mp_zygote_link_start (MpZygoteLink *self,
                              MpZygoteRequest *request,
                              const MpZygoteCallbacks *callbacks,
                              GObject *owner);

/* Nobody wants it any more: no callback comes from here on (one that is on its
 * way still does), and if it was started it is killed. */
void mp_zygote_link_abandon (MpZygoteLink *self, guint64 id);

/* To the whole process group of a command. */
void mp_zygote_link_signal_group (MpZygoteLink *self, guint64 id, int signal_number);

/* Starts the zygote; @func is called once on the pump when it is ready or cannot be. */
void mp_zygote_link_warm_up (MpZygoteLink *self,
                             MpZygoteReadyFunc func,
                             gpointer user_data,
                             GDestroyNotify destroy);

/* 0 when there is none now. */
int mp_zygote_link_get_pid (MpZygoteLink *self);

/* In a task process: @socket_fd is its link to the zygote that forked it. */
void mp_zygote_link_set_inherited (MpZygoteKind kind, int socket_fd, guint64 fingerprint);

G_END_DECLS
