/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-waitable.h"

#include <errno.h>
#include <poll.h>

#include "mp-clock-private.h"
#include "mp-error-private.h"

/* Somebody may have died between a commit and the word that it gave. */
#define SLICE_US (G_USEC_PER_SEC)
/* How often one looks where one cannot be told. */
#define LOOK_US 5000

/**
 * MpWaitable:
 *
 * Something that [func@Mp.wait] can wait for, together with others: a
 * [class@Mp.Queue] is ready when there is a message to take or it is closed, a
 * [class@Mp.Process] when it has ended, and a descriptor, see
 * [func@Mp.Waitable.new_for_fd], when it is.
 *
 * Since: 0.1
 */
G_DEFINE_INTERFACE (MpWaitable, mp_waitable, G_TYPE_OBJECT)

static void
mp_waitable_default_init (MpWaitableInterface *iface)
{
}

/**
 * mp_waitable_prepare: (skip)
 * @self: what is waited for
 * @poll: (out caller-allocates): which descriptor to poll if it is not ready
 *
 * For loops of one's own: whether it is ready; if not, it may be once the
 * descriptor in @poll has one of the events there, and should be asked again.
 * It should be asked again after a second in any case.
 *
 * Returns: whether it is ready; @poll is not meaningful then
 *
 * Since: 0.1
 */
gboolean
mp_waitable_prepare (MpWaitable *self, GPollFD *poll)
{
  g_return_val_if_fail (MP_IS_WAITABLE (self) && poll != NULL, FALSE);

  return MP_WAITABLE_GET_IFACE (self)->prepare (self, poll);
}

/* Waiting */

/* Those that are ready; an empty array with @polls filled if none is. */
static GPtrArray *
collect (MpWaitable **waitables, gsize n, struct pollfd *polls)
{
  GPtrArray *ready = g_ptr_array_new_with_free_func (g_object_unref);

  for (gsize i = 0; i < n; i++)
    {
      GPollFD poll = { .fd = -1 };

      if (mp_waitable_prepare (waitables[i], &poll))
        g_ptr_array_add (ready, g_object_ref (waitables[i]));
      polls[i] = (struct pollfd){ .fd = poll.fd, .events = (short) poll.events };
    }
  return ready;
}

static int
poll_for (struct pollfd *polls, gsize n, gint64 length)
{
  const struct timespec time = { .tv_sec = length / G_USEC_PER_SEC,
                                 .tv_nsec = length % G_USEC_PER_SEC * 1000 };

  return ppoll (polls, n, &time, NULL);
}

static void
sleep_on (struct pollfd *polls, gsize n, gint64 left)
{
  gint64 slice = left < 0 ? SLICE_US : MIN (left, SLICE_US);

  /* More than a process may have open, since some are there several times. */
  if (poll_for (polls, n, slice) < 0 && errno != EINTR)
    poll_for (NULL, 0, MIN (slice, LOOK_US));
}

static GPtrArray *
wait_for_any (MpWaitable **waitables,
              gsize n,
              gint64 timeout_us,
              GCancellable *cancellable,
              gboolean once)
{
  g_autofree struct pollfd *polls = g_new (struct pollfd, n + 1);
  gint64 deadline = mp_deadline_new (timeout_us);
  GPollFD cancelled = { .fd = -1 };
  g_autoptr (GPtrArray) ready = NULL;
  gboolean may_sleep = TRUE;

  if (cancellable != NULL && !g_cancellable_make_pollfd (cancellable, &cancelled))
    cancelled.fd = -1;
  for (;;)
    {
      gint64 left = mp_deadline_left (deadline);

      g_clear_pointer (&ready, g_ptr_array_unref);
      ready = collect (waitables, n, polls);
      if (ready->len > 0 || left == 0 || !may_sleep || g_cancellable_is_cancelled (cancellable))
        break;
      polls[n] = (struct pollfd){ .fd = cancelled.fd, .events = POLLIN };
      sleep_on (polls, n + 1, left);
      may_sleep = !once;
    }
  if (cancelled.fd >= 0)
    g_cancellable_release_fd (cancellable);
  return g_steal_pointer (&ready);
}

/**
 * mp_wait:
 * @waitables: (array length=n_waitables): what to wait for
 * @n_waitables: how many there are
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Waits until at least one of several things is ready: queues, processes,
 * descriptors, in any mixture. Nothing is taken: others may be faster, so take with
 * a timeout of 0.
 *
 * Returns: (transfer container) (element-type MpWaitable) (nullable): those that are
 *   ready, each as often as it was given, or `NULL` with @error set:
 *   [error@Mp.Error.TIMED_OUT] or `G_IO_ERROR_CANCELLED`
 *
 * Since: 0.1
 */
GPtrArray *
mp_wait (MpWaitable **waitables,
         gsize n_waitables,
         gint64 timeout_us,
         GCancellable *cancellable,
         GError **error)
{
  g_autoptr (GPtrArray) ready = NULL;

  g_return_val_if_fail (waitables != NULL || n_waitables == 0, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  ready = wait_for_any (waitables, n_waitables, timeout_us, cancellable, FALSE);
  if (ready->len > 0)
    return g_steal_pointer (&ready);
  if (!g_cancellable_set_error_if_cancelled (cancellable, error))
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_TIMED_OUT,
                 "None of %" G_GSIZE_FORMAT " things that were waited for became ready in time",
                 n_waitables);
  return NULL;
}

/**
 * mp_wait_once:
 * @waitables: (array length=n_waitables): what to wait for
 * @n_waitables: how many there are
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 *
 * The same as [func@Mp.wait], but it sleeps only once, for a second at most, and less
 * when a signal handler ran in this thread: for bindings whose language then wants to
 * act on a signal, and calls this again.
 *
 * Returns: (transfer container) (element-type MpWaitable): those that are ready,
 *   which may be none before the time is over
 *
 * Since: 0.1
 */
GPtrArray *
mp_wait_once (MpWaitable **waitables, gsize n_waitables, gint64 timeout_us)
{
  g_return_val_if_fail (waitables != NULL || n_waitables == 0, NULL);

  return wait_for_any (waitables, n_waitables, timeout_us, NULL, TRUE);
}
