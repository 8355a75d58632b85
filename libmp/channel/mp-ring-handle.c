/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* How a ring comes to be: made anew, or from a handle that came from elsewhere
 * and is not believed. */

#include "mp-ring-layout-private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"
#include "../base/mp-namespace-private.h"
#include "../memory/mp-handle-private.h"

#define KIND_NAME "ring"
/* The file, and an eventfd for each side. */
#define N_FDS 3
/* Those who join have one of their own where somebody may wait for room, and what carries
 * descriptors has two sockets. */
#define MAX_FDS 6
/* The key under which the handle of another ring stands, which has its own, too. */
#define DEAD_LETTERS "dead-letters"
#define MAX_CHAIN 8

/* Of an unbounded ring: small enough to be cheap, big enough that a consumer
 * which loses a time slice is not yet behind. */
#define DEFAULT_CLASS_BYTES (256u * 1024)

static guint32
bound_in_units (guint64 max_bytes)
{
  return (guint32) ((max_bytes + MP_RING_UNIT - 1) / MP_RING_UNIT) + 1;
}

static gboolean
is_power_of_two (guint64 n)
{
  return n != 0 && (n & (n - 1)) == 0;
}

/* Sets everything up from the segment, whose header may have come from anybody. */
static gboolean
ring_open (MpRing *self, GError **error)
{
  const guint64 *parameters = self->segment.header.parameters;
  guint64 base = parameters[MP_RING_PARAMETER_BASE_UNITS];
  guint64 n_classes = parameters[MP_RING_PARAMETER_N_CLASSES];
  guint64 max_items = parameters[MP_RING_PARAMETER_MAX_ITEMS];
  guint64 max_bytes = parameters[MP_RING_PARAMETER_MAX_BYTES];
  guint64 max_deliveries = parameters[MP_RING_PARAMETER_MAX_DELIVERIES];

  if (!mp_micro_lock_check (error))
    return FALSE;
  if (!is_power_of_two (base) || base > MP_RING_MAX_CLASS_UNITS ||
      base * MP_RING_UNIT % mp_segment_get_page_size () != 0 || n_classes == 0 ||
      n_classes > MP_RING_MAX_CLASSES || base << (n_classes - 1) > MP_RING_MAX_CLASS_UNITS ||
      max_items > G_MAXUINT32 || max_bytes > MP_RING_MAX_MAX_BYTES ||
      max_deliveries > G_MAXUINT32 ||
      self->segment.header.size < MP_RING_DATA_OFFSET + base * MP_RING_UNIT)
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_CORRUPT, "The header of a ring is corrupt");
      return FALSE;
    }
  self->base_units = (guint32) base;
  self->n_classes = (guint32) n_classes;
  for (guint32 i = 0; i < self->n_classes; i++)
    self->masks[i] = mp_ring_class_units (self, i) - 1;
  self->max_items = max_items != 0 ? (guint32) max_items : G_MAXUINT32;
  self->max_units = max_bytes != 0 ? bound_in_units (max_bytes) : G_MAXUINT32;
  self->max_bytes = max_bytes;
  self->max_deliveries = (guint32) max_deliveries;
  self->bounded = max_items != 0 || max_bytes != 0;
  self->mapped_length = sizeof (MpRingShared);
  self->shared = mp_segment_map (&self->segment, 0, self->mapped_length);
  if (self->shared == NULL || mp_ring_map_class (self, 0) == NULL)
    return mp_set_error_from_errno (error, errno, "Mapping a ring");
  return TRUE;
}

static MpRing *
ring_alloc (void)
{
  MpRing *self = g_new0 (MpRing, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->segment.fd = -1;
  self->get_event = -1;
  self->put_event = -1;
  self->join_event = -1;
  self->fd_sender = -1;
  self->fd_receiver = -1;
  self->get_spins[1].penalty = MP_SPIN_YIELD_PENALTY;
  return self;
}

MpRing *
mp_ring_ref (MpRing *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
mp_ring_unref (MpRing *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  for (guint32 i = 0; i < self->n_classes; i++)
    {
      guint8 *memory = atomic_load (&self->maps[i]);

      if (memory != NULL)
        munmap (memory, 2 * (gsize) mp_ring_class_units (self, i) * MP_RING_UNIT);
    }
  if (self->store != NULL)
    mp_store_free (self->store);
  g_clear_pointer (&self->dead_letters, mp_ring_unref);
  if (self->shared != NULL)
    munmap (self->shared, self->mapped_length);
  mp_segment_clear (&self->segment);
  mp_clear_fd (&self->get_event);
  if (self->join_event != self->put_event)
    mp_clear_fd (&self->join_event);
  mp_clear_fd (&self->put_event);
  mp_clear_fd (&self->fd_sender);
  mp_clear_fd (&self->fd_receiver);
  g_free (self);
}

MpRing *
mp_ring_new (guint32 max_items, guint64 max_bytes, GError **error)
{
  return mp_ring_new_full (max_items, max_bytes, 0, error);
}

MpRing *
mp_ring_new_full (guint32 max_items, guint64 max_bytes, guint32 max_deliveries, GError **error)
{
  guint64 parameters[MP_SEGMENT_N_PARAMETERS] = { 0 };
  g_autoptr (MpRing) self = ring_alloc ();
  guint64 base = DEFAULT_CLASS_BYTES / MP_RING_UNIT;
  guint32 n_classes = 1;

  if (max_bytes > MP_RING_MAX_MAX_BYTES)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_INVALID_ARGUMENT,
                   "A bound of %" G_GUINT64_FORMAT " bytes is more than the %" G_GUINT64_FORMAT
                   " that can be",
                   max_bytes,
                   MP_RING_MAX_MAX_BYTES);
      return NULL;
    }
  if (max_bytes != 0)
    {
      base = mp_segment_get_page_size () / MP_RING_UNIT;
      while (base < bound_in_units (max_bytes))
        base *= 2;
    }
  while (n_classes < MP_RING_MAX_CLASSES && base << n_classes <= MP_RING_MAX_CLASS_UNITS)
    n_classes++;
  parameters[MP_RING_PARAMETER_BASE_UNITS] = base;
  parameters[MP_RING_PARAMETER_N_CLASSES] = n_classes;
  parameters[MP_RING_PARAMETER_MAX_ITEMS] = max_items;
  parameters[MP_RING_PARAMETER_MAX_BYTES] = max_bytes;
  parameters[MP_RING_PARAMETER_MAX_DELIVERIES] = max_deliveries;
  if (!mp_segment_create (&self->segment,
                          "mp-ring",
                          MP_RING_KIND,
                          MP_RING_VERSION,
                          MP_RING_DATA_OFFSET + base * MP_RING_UNIT,
                          TRUE,
                          parameters,
                          error))
    return NULL;
  self->get_event = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->put_event = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->join_event =
    max_items != 0 || max_bytes != 0 ? eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK) : self->put_event;
  if (self->get_event < 0 || self->put_event < 0 || self->join_event < 0)
    {
      mp_set_error_from_errno (error, errno, "Making a ring");
      return NULL;
    }
  if (!ring_open (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

/* A duplicate, that does not block; -1 with @error set. */
static int
import_event (GUnixFDList *fd_list, gint32 index, GError **error)
{
  char path[32], target[32] = "";
  g_auto (MpFd) fd = mp_handle_get_fd (fd_list, index, error);
  int flags;

  if (fd < 0)
    return -1;
  g_snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  if (readlink (path, target, sizeof target - 1) < 0 ||
      !g_str_equal (target, "anon_inode:[eventfd]"))
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_CORRUPT,
                           "A descriptor in the handle of a ring is no eventfd");
      return -1;
    }
  flags = fcntl (fd, F_GETFL);
  if (flags < 0 || ((flags & O_NONBLOCK) == 0 && fcntl (fd, F_SETFL, flags | O_NONBLOCK) != 0))
    {
      mp_set_error_from_errno (error, errno, "Attaching to a ring");
      return -1;
    }
  return g_steal_fd (&fd);
}

/* A duplicate; -1 with @error set. */
static int
import_socket (GUnixFDList *fd_list, gint32 index, GError **error)
{
  g_auto (MpFd) fd = mp_handle_get_fd (fd_list, index, error);

  if (fd < 0 || mp_ring_check_socket (fd))
    return g_steal_fd (&fd);
  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_CORRUPT,
                       "A descriptor in the handle of a ring is no unix socket for packets");
  return -1;
}

/* The places of the descriptors in @fd_list, if they are such: how many, or 0. */
static gsize
parse_fds (GVariant *handle, GUnixFDList *fd_list, gint32 *indexes, GError **error)
{
  g_autoptr (GVariant) fds = g_variant_get_child_value (handle, 3);
  gint32 n_fds = fd_list != NULL ? g_unix_fd_list_get_length (fd_list) : 0;
  gsize n = g_variant_n_children (fds);
  gboolean good = n >= N_FDS && n <= MAX_FDS;

  for (gsize i = 0; i < n && good; i++)
    {
      g_variant_get_child (fds, i, "h", &indexes[i]);
      good = indexes[i] >= 0 && indexes[i] < n_fds;
    }
  if (!good)
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_CORRUPT,
                 "The handle of a ring does not name %d to %d of the %d descriptors that came "
                 "with it",
                 N_FDS,
                 MAX_FDS,
                 n_fds);
  return good ? n : 0;
}

static MpRing *import_ring (const char *kind,
                            GVariant *handle,
                            GUnixFDList *fd_list,
                            guint chain,
                            GError **error);

static gboolean
import_dead_letters (MpRing *self,
                     const char *kind,
                     GVariant *layout,
                     GUnixFDList *fd_list,
                     guint chain,
                     GError **error)
{
  g_autoptr (GVariant) handle = g_variant_lookup_value (layout, DEAD_LETTERS, NULL);

  if (handle == NULL)
    return TRUE;
  if (chain == MAX_CHAIN)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_CORRUPT,
                   "The handle of a ring names more than %d others, one by one",
                   MAX_CHAIN);
      return FALSE;
    }
  self->dead_letters = import_ring (kind, handle, fd_list, chain + 1, error);
  return self->dead_letters != NULL;
}

static gboolean
import_sockets (MpRing *self, GUnixFDList *fd_list, const gint32 *indexes, GError **error)
{
  self->fd_sender = import_socket (fd_list, indexes[0], error);
  if (self->fd_sender >= 0)
    self->fd_receiver = import_socket (fd_list, indexes[1], error);
  return self->fd_receiver >= 0;
}

/* All but the first of @n_fds. */
static gboolean
import_others (MpRing *self,
               GUnixFDList *fd_list,
               const gint32 *indexes,
               gsize n_fds,
               GError **error)
{
  const guint64 *parameters = self->segment.header.parameters;
  gboolean bounded =
    parameters[MP_RING_PARAMETER_MAX_ITEMS] != 0 || parameters[MP_RING_PARAMETER_MAX_BYTES] != 0;
  gboolean carrying = n_fds == N_FDS + 3;
  gsize n = bounded || carrying ? N_FDS + 1 : N_FDS;

  if (n_fds != n && !carrying)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_CORRUPT,
                   "The handle of a ring that is %s names %" G_GSIZE_FORMAT " descriptors",
                   bounded ? "bounded" : "not bounded",
                   n_fds);
      return FALSE;
    }
  self->get_event = import_event (fd_list, indexes[1], error);
  if (self->get_event < 0)
    return FALSE;
  self->put_event = import_event (fd_list, indexes[2], error);
  if (self->put_event < 0)
    return FALSE;
  self->join_event = n > N_FDS ? import_event (fd_list, indexes[N_FDS], error) : self->put_event;
  return self->join_event >= 0 && (!carrying || import_sockets (self, fd_list, &indexes[n], error));
}

static MpRing *
import_ring (const char *kind, GVariant *handle, GUnixFDList *fd_list, guint chain, GError **error)
{
  g_autoptr (MpRing) self = ring_alloc ();
  g_autoptr (GVariant) layout = mp_handle_check (handle, kind, MP_RING_VERSION, error);
  g_auto (MpFd) fd = -1;
  gint32 indexes[MAX_FDS];
  gsize n_fds = layout != NULL ? parse_fds (handle, fd_list, indexes, error) : 0;

  if (n_fds == 0)
    return NULL;
  fd = mp_handle_get_fd (fd_list, indexes[0], error);
  if (fd < 0 || !mp_segment_attach (&self->segment, fd, MP_RING_KIND, MP_RING_VERSION, error))
    return NULL;
  if (!import_others (self, fd_list, indexes, n_fds, error) || !ring_open (self, error) ||
      !import_dead_letters (self, kind, layout, fd_list, chain, error))
    return NULL;
  return g_steal_pointer (&self);
}

MpRing *
mp_ring_new_from_handle_of_kind (const char *kind,
                                 GVariant *handle,
                                 GUnixFDList *fd_list,
                                 GError **error)
{
  return import_ring (kind, handle, fd_list, 0, error);
}

MpRing *
mp_ring_new_from_handle (GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  return mp_ring_new_from_handle_of_kind (KIND_NAME, handle, fd_list, error);
}

GVariant *
mp_ring_to_handle_of_kind (MpRing *self, const char *kind, GUnixFDList *fd_list, GError **error)
{
  int fds[MAX_FDS] = { self->segment.fd, self->get_event, self->put_event };
  int n_fds = N_FDS;
  g_auto (GVariantBuilder) layout = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);
  g_auto (GVariantBuilder) indexes = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("ah"));

  if (self->join_event != self->put_event)
    fds[n_fds++] = self->join_event;
  if (mp_ring_carries_fds (self))
    {
      fds[n_fds++] = self->fd_sender;
      fds[n_fds++] = self->fd_receiver;
    }
  for (int i = 0; i < n_fds; i++)
    {
      g_autoptr (GError) local_error = NULL;
      gint32 index = g_unix_fd_list_append (fd_list, fds[i], &local_error);

      if (index < 0)
        {
          g_set_error (error,
                       MP_ERROR,
                       MP_ERROR_LIMIT,
                       "Making a handle: %s",
                       local_error->message);
          return NULL;
        }
      g_variant_builder_add (&indexes, "h", index);
    }
  g_variant_builder_add (&layout, "{sv}", "pidns", g_variant_new_uint64 (mp_get_pid_namespace ()));
  if (self->dead_letters != NULL)
    {
      g_autoptr (GVariant) other =
        mp_ring_to_handle_of_kind (self->dead_letters, kind, fd_list, error);

      if (other == NULL)
        return NULL;
      g_variant_builder_add (&layout, "{sv}", DEAD_LETTERS, other);
    }
  return g_variant_ref_sink (g_variant_new ("(su@a{sv}@ah)",
                                            kind,
                                            MP_RING_VERSION,
                                            g_variant_builder_end (&layout),
                                            g_variant_builder_end (&indexes)));
}

GVariant *
mp_ring_to_handle (MpRing *self, GUnixFDList *fd_list, GError **error)
{
  return mp_ring_to_handle_of_kind (self, KIND_NAME, fd_list, error);
}
