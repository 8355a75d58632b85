/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-zygote-link-private.h"

G_BEGIN_DECLS

/* What the files of the link share; nobody else needs it. Everything here is
 * used with mp_zygote_links_mutex held: one lock for all links, for they are
 * few, and it is never held for long. */
extern GMutex mp_zygote_links_mutex;

typedef enum
{
  MP_ZYGOTE_LINK_IDLE,     /* no zygote */
  MP_ZYGOTE_LINK_STARTING, /* wanted or executed, not ready yet */
  MP_ZYGOTE_LINK_READY
} MpZygoteLinkState;

struct _MpZygoteLink
{
  guint ref_count;
  guint generation; /* of the process, which changes at a fork */
  MpZygoteLinkState state;

  /* What makes it this zygote. */
  MpZygoteKind kind;
  char **argv;
  char **preload;
  char **config_env; /* NULL: not a matter of configuration */
  char **env;        /* what the zygote runs with; NULL: not known */
  GBytes *preparation;
  guint64 fingerprint;
  gboolean inherited; /* it was there before the link: there is no other to be had */
  gboolean adopted;   /* inherited, and a child of this process */

  /* The present zygote; -1 and 0 when there is none. */
  int socket_fd;
  int pidfd;
  int pid;
  gboolean said_hello;
  gboolean killed;     /* it ended by a signal */
  gboolean respawned;  /* because the one before was killed before it was ready */
  GError *start_error; /* why it was given up, if it was us who gave up */
  GSource *socket_source;
  GSource *output_source;
  GSource *death_source;
  GSource *hello_source;

  guint64 last_id;
  GHashTable *entries; /* id to MpZygoteEntry */
  GQueue unsent;       /* MpZygoteEntry, in order; borrowed from entries */
  GQueue waiters;      /* MpZygoteCall: for when it is ready */
};

typedef enum
{
  MP_ZYGOTE_ENTRY_UNSENT,
  MP_ZYGOTE_ENTRY_SENT,
  MP_ZYGOTE_ENTRY_RUNNING
} EntryState;

/* One process that was asked for. */
typedef struct
{
  MpZygoteLink *link; /* a reference */
  guint64 id;
  EntryState state;
  gboolean abandoned;
  gboolean refused; /* there was no descriptor left to watch it with */
  gboolean retried;
  MpZygoteRequest request;
  MpZygoteCallbacks callbacks;
  GObject *owner; /* a reference */
  int pid;
  int pidfd; /* from when it runs; lent to the owner, who gets it at the end */
  guint orphan_tries;
} MpZygoteEntry;

typedef enum
{
  MP_ZYGOTE_CALL_STARTED,
  MP_ZYGOTE_CALL_FAILED,
  MP_ZYGOTE_CALL_EXITED,
  MP_ZYGOTE_CALL_READY,
  MP_ZYGOTE_CALL_RELEASE /* lets go of owner and link, whose ends take the lock */
} MpZygoteCallType;

/* What is to be called when the lock is no longer held. */
typedef struct
{
  MpZygoteCallType type;
  MpZygoteCallbacks callbacks;
  GObject *owner;
  MpZygoteLink *link;
  guint64 id;
  int number;
  int fd;
  GError *error;
  MpZygoteReadyFunc ready;
  gpointer user_data;
  GDestroyNotify destroy;
} MpZygoteCall;

/* Calls are collected while the lock is held, and made when it no longer is. */
MpZygoteCall *mp_zygote_call_new (MpZygoteCallType type, GQueue *calls);
void mp_zygote_call_entry (const MpZygoteEntry *entry,
                           MpZygoteCallType type,
                           int number,
                           int fd,
                           const GError *error,
                           GQueue *calls);
/* Unlocks, and has the calls made on the pump, never from within the caller's call. */
void mp_zygote_unlock_and_post (GQueue *calls);
/* On the pump: unlocks, and makes the calls. */
void mp_zygote_unlock_and_run (GQueue *calls);

void mp_zygote_entry_remove (MpZygoteEntry *entry, GQueue *calls);
void mp_zygote_entry_fail (MpZygoteEntry *entry, const GError *error, GQueue *calls);
void mp_zygote_entry_exit (MpZygoteEntry *entry, int exit_code, GQueue *calls);
void mp_zygote_entry_kill (MpZygoteEntry *entry);
/* 1: sent; 0: not now; -1: never, with errno set. */
int mp_zygote_entry_send (MpZygoteEntry *entry);

/* Has the zygote started. */
void mp_zygote_link_spawn (MpZygoteLink *self, GQueue *calls);
/* Sends what can be sent. */
void mp_zygote_link_flush (MpZygoteLink *self, GQueue *calls);
/* Drops all that belongs to the present zygote. */
void mp_zygote_link_forget (MpZygoteLink *self);
void mp_zygote_link_watch_socket (MpZygoteLink *self);
void mp_zygote_link_watch_death (MpZygoteLink *self);

G_END_DECLS
