/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-context-private.h"

#include "../base/mp-error.h"

/**
 * mp_context_new_for_zygote:
 * @socket_fd: one end of a pair of sockets of type SOCK_SEQPACKET, whose other
 *   end @pid has; the context owns it from now on, also after an error
 * @pid: the process id of a child of this process
 * @error: return location for an error
 *
 * Makes a context for a zygote that is there already, because the caller forked
 * itself: for a language whose processes inherit what their parent had. The
 * child is to answer on its end as `multiprocessing_gi._fork_pool` does, in
 * the same version of libmp.
 *
 * The child is asked to leave, by the end of its socket, when the context is
 * finalized and no process of it runs. When it died, nothing can be started any
 * more: %MP_ERROR_PROCESS_DIED. Of the properties, only the working directory
 * and the environment matter.
 *
 * Returns: (transfer full): a new context; %NULL when the child cannot be watched
 *
 * Since: 0.1
 */
MpContext *
mp_context_new_for_zygote (int socket_fd, int pid, GError **error)
{
  MpContext *self;
  MpZygoteLink *link;

  g_return_val_if_fail (socket_fd >= 0, NULL);
  g_return_val_if_fail (pid > 0, NULL);

  link = mp_zygote_link_new_adopted (socket_fd, pid, error);
  if (link == NULL)
    return NULL;
  self = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_PYTHON);
  mp_context_set_adopted (self, link);
  return self;
}
