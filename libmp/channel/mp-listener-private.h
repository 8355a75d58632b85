/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-handshake-private.h"
#include "mp-listener.h"
#include "mp-tls-door-private.h"
#include "mp-turn-private.h"

G_BEGIN_DECLS

/* Clients, and how far their handshakes are. One descriptor tells when it is worth to
 * look: when one of them has said something, one more has come, or the time of one
 * is over. What has been found by one that looks is for whoever comes first. */
typedef struct
{
  int listen_fd;
  GBytes *authkey;
  /* With a certificate, it is TLS that they speak. */
  GTlsCertificate *certificate;
  GTlsDatabase *client_database;
  _Atomic gint64 timeout_us; /* of a handshake; -1: none */

  /* In a child of fork() all of this is made anew: the descriptors are the parent's. */
  guint32 generation;
  int epoll_fd;
  int timer_fd; /* ticks while there are any */
  int event_fd; /* readable while there is something to take */
  int door_fd;  /* readable while somebody is through the door */
  MpTlsDoor *door;
  gboolean ticking;
  GQueue pending; /* of Client */
  guint64 last_id;
  gint64 looked_at;
  GQueue found; /* of MpFound */
  gboolean ending;
} MpClients;

/* A client that came in: @connection, or why not. */
typedef struct
{
  MpConnection *connection;
  GError *error;
} MpFound;

void mp_found_free (MpFound *self);

/* Takes @listen_fd; what else it needs is set before. */
gboolean mp_clients_init (MpClients *self, int listen_fd, GError **error);
void mp_clients_clear (MpClients *self);
/* Goes on with all. NULL if there is nobody yet, or with @error set. */
MpFound *mp_clients_take (MpClients *self, GError **error);
/* Takes @found, which nobody wanted. */
void mp_clients_give_back (MpClients *self, MpFound *found);
/* Whether there is somebody. */
gboolean mp_clients_look (MpClients *self);
/* No more of them; those who wait are woken. */
void mp_clients_end (MpClients *self);

struct _MpListener
{
  GObject parent_instance;

  char *address;
  GBytes *authkey;
  GTlsCertificate *tls_certificate;
  GTlsDatabase *tls_client_database;
  guint backlog;

  /* Those who use the descriptors. */
  MpUsers users;
  /* With this turn, which is short: those who come. */
  MpTurn turn;
  MpClients clients;

  /* What is removed at the end. */
  char *path;
  char *folder;
  pid_t owner;
};

/* For the moment in which one looks after the clients. */
void mp_listener_take_turn (MpListener *self);
/* The last one that uses it closes it. */
void mp_listener_leave (MpListener *self);

G_END_DECLS
