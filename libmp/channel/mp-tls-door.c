/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-tls-door-private.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "../base/mp-error.h"
#include "../base/mp-fd-private.h"
#include "mp-turn-private.h"

/* Each has one of the ten threads that GLib has for all of its tasks, if not more. */
#define MAX_GOING 6
/* Who has taken longer gives way to those who wait. */
#define PATIENCE_US ((gint64) G_USEC_PER_SEC / 2)

struct _MpTlsDoor
{
  gatomicrefcount references;
  GTlsCertificate *certificate;
  GTlsDatabase *client_database;

  /* Under the lock: */
  gboolean open;
  int event_fd;
  GQueue going;   /* of Guest: on their way */
  GQueue through; /* of Guest: nobody has taken them */
};

/* One that is on its way: it belongs to its thread. */
typedef struct
{
  MpTlsDoor *door;
  int fd;
  gint64 start, deadline;
  GCancellable *cancellable;
  GIOStream *tls;
  GError *error;
} Guest;

/* One for all doors, so that it can rest during a fork. */
static pthread_mutex_t doors_lock = PTHREAD_MUTEX_INITIALIZER;

static void
before_fork (void)
{
  pthread_mutex_lock (&doors_lock);
}

static void
after_fork (void)
{
  pthread_mutex_unlock (&doors_lock);
}

__attribute__ ((constructor)) static void
prepare_for_forks (void)
{
  pthread_atfork (before_fork, after_fork, after_fork);
}

MpTlsDoor *
mp_tls_door_new (GTlsCertificate *certificate, GTlsDatabase *client_database, int event_fd)
{
  MpTlsDoor *self = g_new0 (MpTlsDoor, 1);

  g_atomic_ref_count_init (&self->references);
  self->certificate = g_object_ref (certificate);
  self->client_database = client_database != NULL ? g_object_ref (client_database) : NULL;
  self->event_fd = event_fd;
  self->open = TRUE;
  return self;
}

static void
door_unref (MpTlsDoor *self)
{
  if (!g_atomic_ref_count_dec (&self->references))
    return;
  g_object_unref (self->certificate);
  g_clear_object (&self->client_database);
  g_free (self);
}

static void
guest_free (Guest *self)
{
  MpTransport transport = { .fd = self->fd, .tls = self->tls };

  mp_transport_clear (&transport);
  g_clear_error (&self->error);
  g_object_unref (self->cancellable);
  door_unref (self->door);
  g_free (self);
}

void
mp_tls_door_free (MpTlsDoor *self)
{
  pthread_mutex_lock (&doors_lock);
  self->open = FALSE;
  for (GList *each = self->going.head; each != NULL; each = each->next)
    g_cancellable_cancel (((Guest *) each->data)->cancellable);
  pthread_mutex_unlock (&doors_lock);
  /* Nobody adds to it any more. */
  g_queue_clear_full (&self->through, (GDestroyNotify) guest_free);
  door_unref (self);
}

void
mp_tls_door_forget (MpTlsDoor *self)
{
  /* What is the thread's is not freed; but others would notice if the sockets stayed. */
  for (GList *each = self->going.head; each != NULL; each = each->next)
    mp_clear_fd (&((Guest *) each->data)->fd);
  for (GList *each = self->through.head; each != NULL; each = each->next)
    mp_clear_fd (&((Guest *) each->data)->fd);
}

/* On its thread */

/* A server of GLib's accepts no certificate by itself. */
static gboolean
on_certificate (GTlsConnection *tls,
                GTlsCertificate *certificate,
                GTlsCertificateFlags errors,
                gpointer user_data)
{
  return errors == G_TLS_CERTIFICATE_NO_FLAGS;
}

static GTlsConnection *
make_tls (Guest *guest, GError **error)
{
  g_autoptr (GSocket) socket = g_socket_new_from_fd (guest->fd, error);
  g_autoptr (GSocketConnection) stream = NULL;

  if (socket == NULL)
    return NULL;
  stream = g_socket_connection_factory_create_connection (socket);
  guest->tls = g_tls_server_connection_new (G_IO_STREAM (stream), guest->door->certificate, error);
  if (guest->tls == NULL)
    {
      /* It is closed with the stream. */
      guest->fd = -1;
      return NULL;
    }
  if (guest->door->client_database != NULL)
    {
      g_tls_connection_set_database (G_TLS_CONNECTION (guest->tls), guest->door->client_database);
      g_object_set (guest->tls, "authentication-mode", G_TLS_AUTHENTICATION_REQUIRED, NULL);
      g_signal_connect (guest->tls, "accept-certificate", G_CALLBACK (on_certificate), NULL);
    }
  return G_TLS_CONNECTION (guest->tls);
}

/* Whether whoever accepts is to hear of it. */
static gboolean
is_news (Guest *guest, const GError *error)
{
  if (error == NULL)
    return TRUE;
  /* Who says nothing in time, or leaves, is nobody's business. */
  if (error->domain != G_TLS_ERROR || error->code == G_TLS_ERROR_EOF)
    return FALSE;
  guest->error = g_error_new (MP_ERROR,
                              MP_ERROR_AUTHENTICATION,
                              "The handshake of TLS with a client: %s",
                              error->message);
  return TRUE;
}

static gpointer
run (gpointer data)
{
  Guest *guest = data;
  MpTlsDoor *door = guest->door;
  g_autoptr (GError) error = NULL;
  GTlsConnection *tls = make_tls (guest, &error);
  gboolean wanted;

  if (tls != NULL)
    g_tls_connection_handshake (tls, guest->cancellable, &error);
  wanted = is_news (guest, error);
  pthread_mutex_lock (&doors_lock);
  g_queue_remove (&door->going, guest);
  wanted = wanted && door->open;
  if (wanted)
    g_queue_push_tail (&door->through, guest);
  /* There is room again. */
  if (door->open)
    eventfd_write (door->event_fd, 1);
  pthread_mutex_unlock (&doors_lock);
  if (!wanted)
    guest_free (guest);
  return NULL;
}

/* With the turn of the listener */

static void
start_thread (Guest *guest)
{
  sigset_t all, old;
  GThread *thread;

  /* Signals are for the threads of the program. */
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  thread = g_thread_try_new ("mp-tls", run, guest, NULL);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  if (thread != NULL)
    {
      g_thread_unref (thread);
      return;
    }
  /* There are too many: as one that left. */
  pthread_mutex_lock (&doors_lock);
  g_queue_remove (&guest->door->going, guest);
  pthread_mutex_unlock (&doors_lock);
  guest_free (guest);
}

gboolean
mp_tls_door_has_room (MpTlsDoor *self, gint64 now)
{
  gboolean room;

  pthread_mutex_lock (&doors_lock);
  room = self->going.length < MAX_GOING;
  for (GList *each = self->going.head; each != NULL && !room; each = each->next)
    if (((Guest *) each->data)->start <= now - PATIENCE_US)
      g_cancellable_cancel (((Guest *) each->data)->cancellable);
  pthread_mutex_unlock (&doors_lock);
  return room;
}

void
mp_tls_door_enter (MpTlsDoor *self, int fd, gint64 now, gint64 deadline)
{
  Guest *guest = g_new0 (Guest, 1);

  g_atomic_ref_count_inc (&self->references);
  guest->door = self;
  guest->fd = fd;
  guest->start = now;
  guest->deadline = deadline;
  guest->cancellable = g_cancellable_new ();
  pthread_mutex_lock (&doors_lock);
  g_queue_push_tail (&self->going, guest);
  pthread_mutex_unlock (&doors_lock);
  start_thread (guest);
}

gboolean
mp_tls_door_drop_late (MpTlsDoor *self, gint64 now)
{
  gboolean going;

  pthread_mutex_lock (&doors_lock);
  for (GList *each = self->going.head; each != NULL; each = each->next)
    if (((Guest *) each->data)->deadline <= now)
      g_cancellable_cancel (((Guest *) each->data)->cancellable);
  going = self->going.length > 0;
  pthread_mutex_unlock (&doors_lock);
  return going;
}

gboolean
mp_tls_door_take (MpTlsDoor *self, MpTransport *transport, GError **error)
{
  Guest *guest;
  guint64 count;

  pthread_mutex_lock (&doors_lock);
  guest = g_queue_pop_head (&self->through);
  if (guest == NULL && read (self->event_fd, &count, sizeof count) < 0)
    g_warn_if_fail (errno == EAGAIN);
  pthread_mutex_unlock (&doors_lock);
  if (guest == NULL)
    return FALSE;
  if (guest->error != NULL)
    g_propagate_error (error, g_steal_pointer (&guest->error));
  else
    {
      mp_transport_init_tls (transport, guest->fd, g_steal_pointer (&guest->tls));
      guest->fd = -1;
    }
  guest_free (guest);
  return TRUE;
}

gboolean
mp_tls_check (GSocketAddress *address, GError **error)
{
  if (address != NULL && !G_IS_INET_SOCKET_ADDRESS (address))
    g_set_error_literal (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED, "TLS needs an address of TCP");
  else if (!g_tls_backend_supports_tls (g_tls_backend_get_default ()))
    g_set_error_literal (error,
                         MP_ERROR,
                         MP_ERROR_NOT_SUPPORTED,
                         "There is no TLS on this system: it may be in a package such as "
                         "glib-networking");
  else
    return TRUE;
  return FALSE;
}
