/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-zygote-link-types-private.h"

#include "mp-bootstrap-private.h"
#include "mp-pidfd-private.h"
#include "mp-pump-private.h"
#include "mp-spawn-private.h"
#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

GMutex mp_zygote_links_mutex;

static GPtrArray *links; /* borrowed: a link leaves it when it is freed */
static guint generation;

/* The link that this process was born with, from mp_zygote_link_set_inherited()
 * or MP_LINK in the environment. */
static gboolean looked_for_inherited;
static int inherited_fd = -1;
static MpZygoteKind inherited_kind;
static guint64 inherited_fingerprint;
static MpZygoteLink *inherited_link;

static void
before_fork (void)
{
  g_mutex_lock (&mp_zygote_links_mutex);
}

static void
after_fork_parent (void)
{
  g_mutex_unlock (&mp_zygote_links_mutex);
}

/* The zygotes serve the parent: the child has to start its own. What it knows
 * of the old links stays allocated, for objects may still point to it. */
static void
after_fork_child (void)
{
  for (guint i = 0; links != NULL && i < links->len; i++)
    mp_clear_fd (&((MpZygoteLink *) g_ptr_array_index (links, i))->socket_fd);
  links = NULL;
  mp_clear_fd (&inherited_fd);
  inherited_link = NULL;
  generation++;
  g_mutex_init (&mp_zygote_links_mutex);
}

static void
init_once (void)
{
  static gsize once = 0;

  if (g_once_init_enter (&once))
    {
      /* The pump's lock is taken inside ours, also before a fork: handlers run
       * in the reverse order of their registration, so the pump's come first. */
      mp_pump_get_context ();
      pthread_atfork (before_fork, after_fork_parent, after_fork_child);
      g_once_init_leave (&once, 1);
    }
}

static guint64
hash_strings (guint64 hash, const char *const *strings)
{
  for (guint i = 0; strings != NULL && strings[i] != NULL; i++)
    for (const char *c = strings[i];; c++)
      {
        hash = (hash ^ (guint8) *c) * G_GUINT64_CONSTANT (0x100000001b3);
        if (*c == '\0')
          break;
      }
  return (hash ^ 0xff) * G_GUINT64_CONSTANT (0x100000001b3);
}

/* Tells a process from which zygote it comes, so that it can see whether the
 * one it wants is the same. */
static guint64
get_fingerprint (const MpZygoteConfig *config)
{
  guint64 hash = G_GUINT64_CONSTANT (0xcbf29ce484222325);

  if (config->kind != MP_ZYGOTE_PYTHON && config->kind != MP_ZYGOTE_GJS)
    return 0;
  hash = hash_strings (hash, config->interpreter);
  hash = hash_strings (hash, config->preload);
  /* Non-negative, for MP_LINK. */
  return hash_strings (hash, config->env) & G_MAXINT64;
}

static gboolean
strv_equal0 (char **a, const char *const *b)
{
  if (a == NULL || b == NULL)
    return a == NULL && b == NULL;
  return g_strv_equal ((const char *const *) a, b);
}

static gboolean
link_matches (MpZygoteLink *self, const MpZygoteConfig *config)
{
  return self->kind == config->kind && self->fingerprint == get_fingerprint (config) &&
         strv_equal0 (self->preload, config->preload) &&
         strv_equal0 (self->config_env, config->env);
}

static MpZygoteLink *
link_new (MpZygoteKind kind, guint64 fingerprint)
{
  MpZygoteLink *self = g_new0 (MpZygoteLink, 1);

  self->ref_count = 1;
  self->generation = generation;
  self->kind = kind;
  self->fingerprint = fingerprint;
  self->socket_fd = -1;
  self->pidfd = -1;
  self->entries = g_hash_table_new (g_int64_hash, g_int64_equal);
  g_queue_init (&self->unsent);
  g_queue_init (&self->waiters);
  if (links == NULL)
    links = g_ptr_array_new ();
  g_ptr_array_add (links, self);
  return self;
}

static MpZygoteLink *
link_new_from_config (const MpZygoteConfig *config)
{
  MpZygoteLink *self = link_new (config->kind, get_fingerprint (config));

  self->argv = mp_spawn_get_argv (config->kind, config->interpreter, config->preload);
  self->preload = g_strdupv ((char **) config->preload);
  self->config_env = g_strdupv ((char **) config->env);
  self->env = config->env != NULL ? g_strdupv ((char **) config->env) : g_get_environ ();
  self->preparation = config->preparation != NULL ? g_bytes_ref (config->preparation) : NULL;
  return self;
}

/* The marker names the process and the socket, so that it cannot be mistaken by
 * a program that was executed from here and inherited the environment. */
static void
find_inherited_locked (void)
{
  const char *marker = g_getenv (MP_ENV_LINK);
  gint64 numbers[5];
  struct stat st;

  if (looked_for_inherited)
    return;
  looked_for_inherited = TRUE;
  if (inherited_fd >= 0 || marker == NULL || !mp_bootstrap_parse_numbers (marker, numbers, 5) ||
      numbers[0] != getpid () || fstat (numbers[2], &st) < 0 || !S_ISSOCK (st.st_mode) ||
      st.st_ino != (ino_t) numbers[3])
    return;
  inherited_kind = numbers[1];
  inherited_fd = numbers[2];
  inherited_fingerprint = numbers[4];
  fcntl (inherited_fd, F_SETFD, FD_CLOEXEC);
}

void
mp_zygote_link_set_inherited (MpZygoteKind kind, int socket_fd, guint64 fingerprint)
{
  g_mutex_lock (&mp_zygote_links_mutex);
  inherited_kind = kind;
  inherited_fd = socket_fd;
  inherited_fingerprint = fingerprint;
  g_mutex_unlock (&mp_zygote_links_mutex);
}

/* A reference, or NULL when what is wanted is not what this process comes from. */
static MpZygoteLink *
get_inherited_locked (const MpZygoteConfig *config)
{
  find_inherited_locked ();
  /* A process that outlives its zygote does without. */
  if (inherited_link != NULL && inherited_link->state == MP_ZYGOTE_LINK_IDLE)
    return NULL;
  if (inherited_fd < 0 || inherited_kind != config->kind ||
      inherited_fingerprint != get_fingerprint (config))
    return NULL;
  if (inherited_link == NULL)
    {
      inherited_link = link_new (inherited_kind, inherited_fingerprint);
      inherited_link->inherited = TRUE;
      inherited_link->socket_fd = inherited_fd;
      inherited_link->state = MP_ZYGOTE_LINK_READY;
      inherited_link->pid = getppid ();
      mp_zygote_link_watch_socket (inherited_link);
    }
  inherited_link->ref_count++;
  return inherited_link;
}

MpZygoteLink *
mp_zygote_link_get (const MpZygoteConfig *config, GError **error)
{
  MpZygoteLink *self;

  if (!mp_bootstrap_check (config->kind == MP_ZYGOTE_SELF, error))
    return NULL;
  init_once ();

  g_mutex_lock (&mp_zygote_links_mutex);
  self = get_inherited_locked (config);
  for (guint i = 0; self == NULL && links != NULL && i < links->len; i++)
    {
      MpZygoteLink *link = g_ptr_array_index (links, i);

      if (!link->inherited && link_matches (link, config))
        {
          self = link;
          self->ref_count++;
        }
    }
  if (self == NULL)
    self = link_new_from_config (config);
  g_mutex_unlock (&mp_zygote_links_mutex);
  return self;
}

MpZygoteLink *
mp_zygote_link_new_adopted (int socket_fd, int pid, GError **error)
{
  g_auto (MpFd) fd = socket_fd;
  int pidfd = pidfd_open (pid, 0);
  MpZygoteLink *self;

  if (pidfd < 0)
    {
      mp_set_error_from_errno (error, errno, "Cannot watch the process");
      return NULL;
    }
  init_once ();

  g_mutex_lock (&mp_zygote_links_mutex);
  self = link_new (MP_ZYGOTE_PYTHON, 0);
  self->inherited = TRUE;
  self->adopted = TRUE;
  self->env = g_get_environ ();
  self->socket_fd = g_steal_fd (&fd);
  self->pidfd = pidfd;
  self->pid = pid;
  self->state = MP_ZYGOTE_LINK_READY;
  fcntl (self->socket_fd, F_SETFD, FD_CLOEXEC);
  mp_zygote_link_watch_socket (self);
  mp_zygote_link_watch_death (self);
  g_mutex_unlock (&mp_zygote_links_mutex);
  return self;
}

MpZygoteLink *
mp_zygote_link_ref (MpZygoteLink *self)
{
  g_mutex_lock (&mp_zygote_links_mutex);
  self->ref_count++;
  g_mutex_unlock (&mp_zygote_links_mutex);
  return self;
}

static gboolean
reap_cb (int fd, GIOCondition condition, gpointer user_data)
{
  siginfo_t info;

  TEMP_FAILURE_RETRY (waitid (P_PIDFD, fd, &info, WEXITED | WNOHANG));
  close (fd);
  return G_SOURCE_REMOVE;
}

/* Nobody needs the zygote any more: it leaves when its socket is shut, and is
 * reaped then. */
static gboolean
free_cb (gpointer user_data)
{
  MpZygoteLink *self = user_data;
  int pidfd;

  g_mutex_lock (&mp_zygote_links_mutex);
  pidfd = g_steal_fd (&self->pidfd);
  if (self->socket_fd >= 0)
    shutdown (self->socket_fd, SHUT_RDWR);
  mp_zygote_link_forget (self);
  g_mutex_unlock (&mp_zygote_links_mutex);

  if (pidfd >= 0)
    {
      g_autoptr (GSource) source = g_unix_fd_source_new (pidfd, G_IO_IN);

      g_source_set_callback (source, G_SOURCE_FUNC (reap_cb), NULL, NULL);
      mp_pump_attach (source);
    }
  g_hash_table_unref (self->entries);
  g_strfreev (self->argv);
  g_strfreev (self->preload);
  g_strfreev (self->config_env);
  g_strfreev (self->env);
  g_clear_pointer (&self->preparation, g_bytes_unref);
  g_clear_error (&self->start_error);
  g_free (self);
  return G_SOURCE_REMOVE;
}

void
mp_zygote_link_unref (MpZygoteLink *self)
{
  gboolean last;

  g_mutex_lock (&mp_zygote_links_mutex);
  last = --self->ref_count == 0 && self->generation == generation;
  if (last)
    g_ptr_array_remove_fast (links, self);
  g_mutex_unlock (&mp_zygote_links_mutex);
  if (last)
    mp_pump_invoke (free_cb, self, NULL);
}

gboolean
mp_zygote_link_is_ours (MpZygoteLink *self)
{
  gboolean ours;

  g_mutex_lock (&mp_zygote_links_mutex);
  ours = self->generation == generation;
  g_mutex_unlock (&mp_zygote_links_mutex);
  return ours;
}

gboolean
mp_zygote_link_needs_env (MpZygoteLink *self, const char *const *env)
{
  return !strv_equal0 (self->env, env);
}

gboolean
mp_zygote_link_needs_preparation (MpZygoteLink *self, GBytes *preparation)
{
  return preparation != NULL &&
         (self->preparation == NULL || !g_bytes_equal (self->preparation, preparation));
}

static MpZygoteEntry *
entry_new (MpZygoteLink *link, const MpZygoteCallbacks *callbacks, GObject *owner)
{
  MpZygoteEntry *entry = g_new0 (MpZygoteEntry, 1);

  link->ref_count++;
  entry->link = link;
  entry->id = ++link->last_id;
  entry->callbacks = *callbacks;
  entry->owner = g_object_ref (owner);
  entry->pidfd = -1;
  g_hash_table_insert (link->entries, &entry->id, entry);
  return entry;
}

guint64
mp_zygote_link_start (MpZygoteLink *self,
                      MpZygoteRequest *request,
                      const MpZygoteCallbacks *callbacks,
                      GObject *owner)
{
  GQueue *calls = g_queue_new ();
  MpZygoteEntry *entry;
  guint64 id;

  g_mutex_lock (&mp_zygote_links_mutex);
  entry = entry_new (self, callbacks, owner);
  id = entry->id;
  entry->request = *request;
  *request = (MpZygoteRequest) MP_ZYGOTE_REQUEST_INIT;
  g_queue_push_tail (&self->unsent, entry);
  /* When the zygote is there the request leaves from this thread at once. */
  if (self->state == MP_ZYGOTE_LINK_IDLE)
    mp_zygote_link_spawn (self, calls);
  else
    mp_zygote_link_flush (self, calls);
  mp_zygote_unlock_and_post (calls);
  return id;
}

void
mp_zygote_link_abandon (MpZygoteLink *self, guint64 id)
{
  GQueue *calls = g_queue_new ();
  MpZygoteEntry *entry;

  g_mutex_lock (&mp_zygote_links_mutex);
  entry = g_hash_table_lookup (self->entries, &id);
  if (entry != NULL)
    {
      entry->abandoned = TRUE;
      if (entry->state == MP_ZYGOTE_ENTRY_UNSENT)
        mp_zygote_entry_remove (entry, calls);
      else if (entry->state == MP_ZYGOTE_ENTRY_RUNNING)
        mp_zygote_entry_kill (entry);
    }
  mp_zygote_unlock_and_post (calls);
}

void
mp_zygote_link_signal_group (MpZygoteLink *self, guint64 id, int signal_number)
{
  MpZygoteMessage message = {
    .magic = MP_ZYGOTE_MAGIC,
    .type = MP_ZYGOTE_SIGNAL,
    .id = id,
    .value = signal_number,
  };
  MpZygoteEntry *entry;

  g_mutex_lock (&mp_zygote_links_mutex);
  entry = g_hash_table_lookup (self->entries, &id);
  /* If the zygote cannot be told, the leader of the group still can. */
  if (entry != NULL && entry->pidfd >= 0 &&
      !mp_fd_send_message (self->socket_fd, &message, sizeof message, NULL, 0))
    pidfd_send_signal (entry->pidfd, signal_number, NULL, 0);
  g_mutex_unlock (&mp_zygote_links_mutex);
}

void
mp_zygote_link_warm_up (MpZygoteLink *self,
                        MpZygoteReadyFunc func,
                        gpointer user_data,
                        GDestroyNotify destroy)
{
  GQueue *calls = g_queue_new ();
  MpZygoteCall *call;

  g_mutex_lock (&mp_zygote_links_mutex);
  call = mp_zygote_call_new (MP_ZYGOTE_CALL_READY,
                             self->state == MP_ZYGOTE_LINK_READY ? calls : &self->waiters);
  call->ready = func;
  call->user_data = user_data;
  call->destroy = destroy;
  if (self->state == MP_ZYGOTE_LINK_IDLE)
    mp_zygote_link_spawn (self, calls);
  mp_zygote_unlock_and_post (calls);
}

int
mp_zygote_link_get_pid (MpZygoteLink *self)
{
  int pid;

  g_mutex_lock (&mp_zygote_links_mutex);
  pid = MAX (self->pid, 0);
  g_mutex_unlock (&mp_zygote_links_mutex);
  return pid;
}
