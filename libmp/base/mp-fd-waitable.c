/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-waitable.h"

#define MP_TYPE_FD_WAITABLE (mp_fd_waitable_get_type ())
G_DECLARE_FINAL_TYPE (MpFdWaitable, mp_fd_waitable, MP, FD_WAITABLE, GObject)

struct _MpFdWaitable
{
  GObject parent_instance;

  GPollFD poll;
};

static gboolean
mp_fd_waitable_prepare (MpWaitable *waitable, GPollFD *poll)
{
  MpFdWaitable *self = MP_FD_WAITABLE (waitable);
  GPollFD now = self->poll;

  *poll = self->poll;
  return g_poll (&now, 1, 0) > 0;
}

static void
mp_fd_waitable_iface_init (MpWaitableInterface *iface)
{
  iface->prepare = mp_fd_waitable_prepare;
}

G_DEFINE_FINAL_TYPE_WITH_CODE (MpFdWaitable,
                               mp_fd_waitable,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (MP_TYPE_WAITABLE, mp_fd_waitable_iface_init))

static void
mp_fd_waitable_class_init (MpFdWaitableClass *klass)
{
}

static void
mp_fd_waitable_init (MpFdWaitable *self)
{
}

/**
 * mp_waitable_new_for_fd:
 * @fd: a descriptor, which has to stay open as long as it is waited for
 * @condition: what it is to be ready for; an error and the end of the other side
 *   count in any case
 *
 * Makes a descriptor something to wait for. A number that is no open descriptor is
 * ready, too: who uses it will see the error.
 *
 * Returns: (transfer full): something to wait for
 *
 * Since: 0.1
 */
MpWaitable *
mp_waitable_new_for_fd (int fd, GIOCondition condition)
{
  MpFdWaitable *self;

  g_return_val_if_fail (fd >= 0, NULL);

  self = g_object_new (MP_TYPE_FD_WAITABLE, NULL);
  self->poll = (GPollFD){ .fd = fd, .events = (gushort) condition };
  return MP_WAITABLE (self);
}
