/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Long messages between two ends of a pipe that are both libmp's do not go through the socket:
 * the sender puts them into a ring of its own, where they lie in a block, and the frame says
 * where. The receiver has them without a copy, and the block goes back when it drops them.
 *
 * A frame of the length -3 has the length of the rest in 32 bits; that is the handle of the
 * ring, whose descriptors go along, and in 32 bits the number of the message in the ring.
 *
 * Nobody knows to whom an end may be given that is a mere descriptor. So who receives for the
 * first time gives its socket, which has no name, one: the other end sees it, and who knows
 * nothing of it sees nothing. Until then, and where there is no room in the ring, messages go
 * through the socket. The name has the namespace of process ids, within which rings can be
 * shared. */

#include "mp-connection-private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "mp-buffer-private.h"
#include "mp-queue-private.h"
#include "mp-ring-block-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../base/mp-fd-private.h"
#include "../base/mp-namespace-private.h"
#include "../memory/mp-shareable-private.h"

/* So many are on their way at most. */
#define MAX_ITEMS 4
/* The rings of so many senders are kept; those of the others are opened anew each time. */
#define MAX_SIDES 4
/* Of what the dead have left in a ring. */
#define MAX_SKIPPED 64
#define HEADER_LENGTH 8u
#define TRIES 4

struct _MpPipeSide
{
  MpRing *ring;
  /* Of the sender. */
  GUnixFDList *fd_list;
  GByteArray *frame; /* all of it; the number comes last */
  guint32 n_put;
  guint32 generation;
  /* Of the receiver. */
  dev_t device;
  ino_t inode;
};

static void
side_free (MpPipeSide *self)
{
  g_clear_pointer (&self->ring, mp_ring_unref);
  g_clear_object (&self->fd_list);
  g_clear_pointer (&self->frame, g_byte_array_unref);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpPipeSide, side_free)

/* Names */

typedef enum
{
  NAME_NONE,
  NAME_OURS,
  NAME_OF_PYTHON,
  NAME_OTHER
} NameKind;

/* See _pipe.py. */
#define MARK_OF_PYTHON "\0mp-pipe-python-"

/* Returns its length. */
static int
write_mark (char *mark, gsize size)
{
  return g_snprintf (mark,
                     (gulong) size,
                     "mp-pipe-1-%" G_GUINT64_FORMAT "-",
                     mp_get_pid_namespace ());
}

static NameKind
get_name_kind (int fd, int (*get) (int, struct sockaddr *, socklen_t *))
{
  struct sockaddr_un name = { .sun_family = AF_UNSPEC };
  socklen_t length = sizeof name;
  char mark[64];
  gsize n = (gsize) write_mark (mark, sizeof mark);

  if (get (fd, (struct sockaddr *) &name, &length) != 0 || name.sun_family != AF_UNIX)
    return NAME_OTHER;
  if (length <= G_STRUCT_OFFSET (struct sockaddr_un, sun_path))
    return NAME_NONE;
  if (length > G_STRUCT_OFFSET (struct sockaddr_un, sun_path) + sizeof MARK_OF_PYTHON &&
      memcmp (name.sun_path, MARK_OF_PYTHON, sizeof MARK_OF_PYTHON - 1) == 0)
    return NAME_OF_PYTHON;
  return length > G_STRUCT_OFFSET (struct sockaddr_un, sun_path) + 1 + n &&
             name.sun_path[0] == '\0' && memcmp (name.sun_path + 1, mark, n) == 0
           ? NAME_OURS
           : NAME_OTHER;
}

void
mp_connection_set_up_blocks (MpConnection *self)
{
  NameKind own, peer;

  if (!self->transport.carries_fds || self->transport.tls != NULL)
    return;
  own = get_name_kind (self->transport.fd, getsockname);
  peer = get_name_kind (self->transport.fd, getpeername);
  self->is_pipe = own <= NAME_OURS && peer <= NAME_OURS;
  self->reader.was_of_python = own == NAME_OF_PYTHON;
}

void
mp_connection_announce (MpConnection *self)
{
  self->announced = TRUE;
  for (int i = 0; self->is_pipe && i < TRIES; i++)
    {
      struct sockaddr_un name = { .sun_family = AF_UNIX };
      int n = write_mark (name.sun_path + 1, sizeof name.sun_path - 1);

      n += g_snprintf (name.sun_path + 1 + n,
                       (gulong) (sizeof name.sun_path - 1 - (gsize) n),
                       "%08x%08x",
                       g_random_int (),
                       g_random_int ());
      if (bind (self->transport.fd,
                (struct sockaddr *) &name,
                (socklen_t) (G_STRUCT_OFFSET (struct sockaddr_un, sun_path) + 1 + (gsize) n)) ==
            0 ||
          errno != EADDRINUSE)
        break;
    }
  self->reader.may_refer = self->is_pipe;
}

/* Sending */

static MpPipeSide *
side_new (void)
{
  g_autoptr (MpPipeSide) self = g_new0 (MpPipeSide, 1);
  g_autoptr (GVariant) handle = NULL;
  guint32 lengths[2];

  self->generation = mp_turn_get_generation ();
  self->fd_list = g_unix_fd_list_new ();
  self->ring = mp_ring_new (MAX_ITEMS, 0, NULL);
  handle = self->ring != NULL ? mp_ring_to_handle (self->ring, self->fd_list, NULL) : NULL;
  if (handle == NULL)
    return NULL;
  lengths[0] = GUINT32_TO_BE ((guint32) MP_FRAME_IN_RING);
  lengths[1] = GUINT32_TO_BE ((guint32) (g_variant_get_size (handle) + sizeof (guint32)));
  self->frame = g_byte_array_new ();
  g_byte_array_append (self->frame, (const guint8 *) lengths, sizeof lengths);
  g_byte_array_append (self->frame,
                       g_variant_get_data (handle),
                       (guint) g_variant_get_size (handle));
  g_byte_array_append (self->frame, (const guint8 *) &self->n_put, sizeof self->n_put);
  return g_steal_pointer (&self);
}

void
mp_connection_drop_side (MpConnection *self)
{
  g_clear_pointer (&self->side, side_free);
}

static gboolean
has_side (MpConnection *self)
{
  if (self->peer_announced || get_name_kind (self->transport.fd, getpeername) == NAME_OURS)
    self->peer_announced = TRUE;
  else
    return FALSE;
  /* That of a parent is its own. */
  if (self->side != NULL && self->side->generation != mp_turn_get_generation ())
    mp_connection_drop_side (self);
  if (self->side == NULL)
    self->side = side_new ();
  return self->side != NULL;
}

void
mp_connection_refer (MpConnection *self, MpOutgoing *outgoing)
{
  GOutputVector part = { .buffer = outgoing->parts[1].iov_base,
                         .size = outgoing->parts[1].iov_len };
  const MpRecord record = { .parts = &part, .n_parts = 1, .codec = MP_CODEC_RAW };
  guint32 number;
  MpPipeSide *side;
  int n_fds = 0;

  if (!self->is_pipe || outgoing->n_fds > 0 || !has_side (self))
    return;
  side = self->side;
  if (mp_ring_put (side->ring, &record, 1, 0, MP_DEADLINE_NOW) != MP_RING_DONE)
    return;
  number = GUINT32_TO_BE (side->n_put);
  side->n_put++;
  memcpy (side->frame->data + side->frame->len - sizeof number, &number, sizeof number);
  outgoing->parts[0] = (struct iovec){ .iov_base = side->frame->data, .iov_len = side->frame->len };
  outgoing->parts[1].iov_len = 0;
  outgoing->n_parts = 1;
  outgoing->fds = g_unix_fd_list_peek_fds (side->fd_list, &n_fds);
  outgoing->n_fds = (guint) n_fds;
  outgoing->length = side->frame->len;
  outgoing->in_ring = TRUE;
}

/* Receiving */

/* The descriptors stay the caller's. */
static MpRing *
import_ring (const guint8 *data, gsize length, GArray *fds, GError **error)
{
  g_autoptr (GUnixFDList) fd_list =
    g_unix_fd_list_new_from_array ((const int *) (gpointer) fds->data, (int) fds->len);
  g_autoptr (GBytes) copy = g_bytes_new (data, length);
  g_autoptr (GVariant) raw =
    g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (MP_HANDLE_TYPE), copy, FALSE));
  g_autoptr (GVariant) handle = g_variant_get_normal_form (raw);

  MpRing *ring = mp_ring_new_from_handle (handle, fd_list, error);

  g_free (g_unix_fd_list_steal_fds (fd_list, NULL));
  return ring;
}

/* The ring of the sender, which stays ours. */
static MpRing *
find_ring (MpConnection *self, const guint8 *data, gsize length, GArray *fds, GError **error)
{
  g_autoptr (MpPipeSide) side = NULL;
  struct stat status;

  if (fds == NULL || fds->len == 0 || fstat (g_array_index (fds, int, 0), &status) != 0)
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_CORRUPT, "A message came without its memory");
      return NULL;
    }
  if (self->sides == NULL)
    self->sides = g_ptr_array_new_with_free_func ((GDestroyNotify) side_free);
  for (guint i = 0; i < self->sides->len; i++)
    {
      MpPipeSide *each = g_ptr_array_index (self->sides, i);

      if (each->device == status.st_dev && each->inode == status.st_ino)
        return each->ring;
    }
  side = g_new0 (MpPipeSide, 1);
  side->device = status.st_dev;
  side->inode = status.st_ino;
  side->ring = import_ring (data, length, fds, error);
  if (side->ring == NULL)
    return NULL;
  /* Nobody tells that a sender is dead, and its memory would be kept. */
  if (self->sides->len == MAX_SIDES)
    g_ptr_array_remove_index (self->sides, 0);
  g_ptr_array_add (self->sides, side);
  return g_steal_pointer (&side)->ring;
}

typedef struct
{
  guint32 number;
  gboolean found;
  GBytes *bytes; /* if it does not lie in a block */
} Taking;

/* An MpRingTake: those before it were for somebody who died. */
static gboolean
take_number (gpointer user_data,
             guint32 seq,
             guint32 n_ready,
             MpCodec codec,
             const guint8 *data,
             gsize length)
{
  Taking *self = user_data;

  if ((gint32) (seq - self->number) > 0)
    return FALSE;
  self->found = seq == self->number;
  if (!self->found || data == NULL)
    return TRUE;
  self->bytes = mp_queue_copy_bytes (data, length);
  return self->bytes != NULL;
}

static GBytes *
take_from_ring (MpRing *ring, guint32 number, GError **error)
{
  Taking taking = { .number = number };
  MpRingStatus status = MP_RING_DONE;

  for (int i = 0; i < MAX_SKIPPED && !taking.found && status == MP_RING_DONE; i++)
    {
      g_autoptr (MpRingBlock) block = NULL;

      do
        status = mp_ring_borrow (ring, take_number, &taking, MP_DEADLINE_NOW, NULL, &block);
      while (status == MP_RING_INTERRUPTED);
      if (status == MP_RING_DONE && taking.found && block != NULL)
        taking.bytes = mp_ring_block_to_bytes (block);
    }
  if (taking.bytes != NULL)
    return taking.bytes;
  if (status == MP_RING_NO_MEMORY || status == MP_RING_NO_BLOCKS)
    mp_ring_set_error (error, ring, status, FALSE);
  else
    g_set_error_literal (error,
                         MP_ERROR,
                         MP_ERROR_CORRUPT,
                         "A message is not in the memory where it is to be");
  return NULL;
}

static GBytes *
fetch_bytes (MpConnection *self, const MpFrame *frame, GError **error)
{
  gsize length;
  const guint8 *data = g_bytes_get_data (frame->bytes, &length);
  guint32 number;
  MpRing *ring;

  if (length <= sizeof number)
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_CORRUPT, "A message names no memory");
      return NULL;
    }
  length -= sizeof number;
  memcpy (&number, data + length, sizeof number);
  ring = find_ring (self, data, length, frame->fds, error);
  return ring != NULL ? take_from_ring (ring, GUINT32_FROM_BE (number), error) : NULL;
}

MpFlow
mp_connection_fetch (MpConnection *self, MpFrame *frame, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  GBytes *bytes = fetch_bytes (self, frame, &local_error);

  /* It is still there when there are descriptors, or memory. */
  if (g_error_matches (local_error, MP_ERROR, MP_ERROR_LIMIT))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      mp_connection_give_back (self, frame);
      return MP_FLOW_FAILED;
    }
  mp_frame_clear (frame);
  *frame = (MpFrame){ .bytes = bytes };
  if (bytes != NULL &&
      mp_frame_check_size (g_bytes_get_size (bytes), self->max_frame, &local_error))
    return MP_FLOW_DONE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  mp_frame_clear (frame);
  mp_connection_poison (self);
  return MP_FLOW_FAILED;
}
