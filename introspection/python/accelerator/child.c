/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The first steps of a process that the zygote has forked, see multiprocessing_gi/_zygote.py.
 * Each page that a step in Python touches is copied first; these touch few. */

#include "accelerator.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../libmp/process/mp-zygote-protocol-private.h"

/* As many as one message can carry. */
#define MAX_FDS 253
/* A message without text is shorter. */
#define MAX_MESSAGE 256
/* What it is to do, its working directory, its standard streams. */
#define N_FDS 5
/* How long a gate keeps anybody; see _zygote.py. */
#define GATE_MS 100

static PyObject *
raise_errno (void)
{
  return PyErr_SetFromErrno (PyExc_OSError);
}

static gboolean
has_something (int fd, int timeout_ms)
{
  struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

  return poll (&poll_fd, 1, timeout_ms) == 1;
}

/* The child dies with its parent if it is @bound. Until @gate is open, it does nothing else; -1:
 * there is none. */
static void
begin (pid_t parent, gboolean bound, int gate)
{
  if (bound)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () != parent)
        _exit (EXIT_FAILURE);
    }
  if (gate >= 0)
    has_something (gate, GATE_MS);
}

/* It keeps nothing but the link. */
static void
settle (int link, const char *name)
{
  if (link > 3)
    close_range (3, (unsigned) link - 1, 0);
  close_range ((unsigned) link + 1, ~0u, 0);
  prctl (PR_SET_NAME, name);
}

static PyObject *
fork_linked (int ours, int theirs, const char *name, gboolean bound, int gate)
{
  pid_t parent = getpid ();
  sigset_t all, mask;
  pid_t pid;
  int pidfd = -1;
  int err;

  /* Blocked signals wait: none that is sent to the child before it has its own handlers is lost
   * to those of the zygote. */
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &mask);
  PyOS_BeforeFork ();
  pid = fork ();
  if (pid == 0)
    {
      if (name != NULL)
        begin (parent, bound, gate);
      PyOS_AfterFork_Child ();
      if (name != NULL)
        settle (theirs, name);
      else
        close (ours);
      return Py_BuildValue ("(iii)", 0, theirs, has_something (theirs, 0));
    }
  err = errno;
  PyOS_AfterFork_Parent ();
  pthread_sigmask (SIG_SETMASK, &mask, NULL);
  close (theirs);
  if (pid > 0)
    {
      pidfd = pidfd_open (pid, 0);
      err = errno;
    }
  if (pidfd >= 0)
    return Py_BuildValue ("(iii)", pid, ours, pidfd);
  /* Without its link, the child leaves. */
  close (ours);
  if (pid > 0)
    waitpid (pid, NULL, 0);
  errno = err;
  return raise_errno ();
}

static PyObject *
child_fork (PyObject *module, PyObject *args)
{
  const char *name;
  int link[2], bound, gate;

  if (!PyArg_ParseTuple (args, "zpi:fork_child", &name, &bound, &gate))
    return NULL;
  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0)
    return raise_errno ();
  return fork_linked (link[0], link[1], name, bound, gate);
}

/* How many bytes came, and descriptors; as recvmsg(). */
static gssize
receive (int link, void *data, gsize size, int *fds, int *n_fds)
{
  union
  {
    struct cmsghdr header;
    char space[CMSG_SPACE (MAX_FDS * sizeof (int))];
  } control;
  struct iovec part = { data, size };
  struct msghdr message = {
    .msg_iov = &part,
    .msg_iovlen = 1,
    .msg_control = &control,
    .msg_controllen = sizeof control,
  };
  const struct cmsghdr *header;
  gssize length = TEMP_FAILURE_RETRY (recvmsg (link, &message, MSG_CMSG_CLOEXEC));
  gsize fds_length;

  *n_fds = 0;
  if (length < 0)
    return length;
  header = CMSG_FIRSTHDR (&message);
  if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
    return length;
  fds_length = header->cmsg_len - CMSG_LEN (0);
  memcpy (fds, CMSG_DATA (header), fds_length);
  *n_fds = (int) (fds_length / sizeof (int));
  return length;
}

static PyObject *
list_of (const int *fds, int n)
{
  PyObject *list = PyList_New (n);

  for (int i = 0; list != NULL && i < n; i++)
    PyList_SetItem (list, i, PyLong_FromLong (fds[i]));
  return list;
}

static PyObject *
child_receive_message (PyObject *module, PyObject *args)
{
  char data[MAX_MESSAGE];
  int fds[MAX_FDS];
  int fd, size, n;
  gssize length;

  if (!PyArg_ParseTuple (args, "ii:receive_message", &fd, &size))
    return NULL;
  length = receive (fd, data, MIN ((gsize) size, sizeof data), fds, &n);
  if (length < 0)
    return raise_errno ();
  return Py_BuildValue ("(y#N)", data, (Py_ssize_t) length, list_of (fds, n));
}

static gboolean
send_with (int fd, const Py_buffer *data, const int *fds, int n)
{
  union
  {
    struct cmsghdr header;
    char space[CMSG_SPACE (MAX_FDS * sizeof (int))];
  } control;
  struct iovec part = { data->buf, (gsize) data->len };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

  if (n > 0)
    {
      message.msg_control = &control;
      message.msg_controllen = CMSG_SPACE (n * sizeof (int));
      memset (&control, 0, message.msg_controllen);
      control.header.cmsg_level = SOL_SOCKET;
      control.header.cmsg_type = SCM_RIGHTS;
      control.header.cmsg_len = CMSG_LEN (n * sizeof (int));
      memcpy (CMSG_DATA (&control.header), fds, n * sizeof (int));
    }
  return TEMP_FAILURE_RETRY (sendmsg (fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)) >= 0;
}

static PyObject *
child_send_message (PyObject *module, PyObject *args)
{
  PyObject *list, *result = NULL;
  int fds[MAX_FDS];
  Py_buffer data;
  Py_ssize_t n;
  int fd;

  if (!PyArg_ParseTuple (args, "iy*O!:send_message", &fd, &data, &PyList_Type, &list))
    return NULL;
  n = MIN (PyList_Size (list), MAX_FDS);
  for (Py_ssize_t i = 0; i < n; i++)
    fds[i] = (int) PyLong_AsLong (PyList_GetItem (list, i));
  if (PyErr_Occurred () == NULL && send_with (fd, &data, fds, (int) n))
    result = Py_NewRef (Py_None);
  else if (PyErr_Occurred () == NULL)
    raise_errno ();
  PyBuffer_Release (&data);
  return result;
}

static PyObject *
child_receive_start (PyObject *module, PyObject *link)
{
  int fds[MAX_FDS];
  int fd = (int) PyLong_AsLong (link);
  char text[16];
  int n;

  if (PyErr_Occurred () != NULL)
    return NULL;
  if (receive (fd, text, sizeof text, fds, &n) < 0 || n < N_FDS)
    _exit (EXIT_SUCCESS); /* the zygote goes, and no start will come */
  for (int i = 0; i < 3; i++)
    if (dup2 (fds[2 + i], i) < 0)
      return raise_errno ();
  if (fchdir (fds[1]) < 0)
    return raise_errno ();
  for (int i = 1; i < N_FDS; i++)
    close (fds[i]);
  return Py_BuildValue ("(iN)", fds[0], list_of (fds + N_FDS, n - N_FDS));
}

static PyObject *
complain_of_request (void)
{
  PyErr_SetString (PyExc_ValueError, "not a request to start a process");
  return NULL;
}

/* What is at *@at, up to @end and padded, or None. */
static PyObject *
take_bytes (const char **at, const char *end, guint64 length, gboolean there)
{
  const char *bytes = *at;
  gsize room = (gsize) (end - bytes);

  if (length > room || ((length + 7) & ~(guint64) 7) > room)
    return complain_of_request ();
  *at += (length + 7) & ~(guint64) 7;
  if (!there)
    Py_RETURN_NONE;
  return PyBytes_FromStringAndSize (bytes, (Py_ssize_t) length);
}

/* Takes @item. */
static gboolean
append (PyObject *list, PyObject *item)
{
  gboolean done = item != NULL && PyList_Append (list, item) == 0;

  Py_XDECREF (item);
  return done;
}

/* A list of @n strings, of bytes or decoded. */
static PyObject *
take_strings (const char **at, const char *end, guint32 n, gboolean decode)
{
  PyObject *list = PyList_New (0);

  for (guint32 i = 0; list != NULL && i < n; i++)
    {
      const char *nul = memchr (*at, '\0', (gsize) (end - *at));
      PyObject *string;

      if (nul == NULL)
        string = complain_of_request ();
      else if (decode)
        string = PyUnicode_DecodeFSDefaultAndSize (*at, nul - *at);
      else
        string = PyBytes_FromStringAndSize (*at, nul - *at);
      if (!append (list, string))
        Py_CLEAR (list);
      else
        *at = nul + 1;
    }
  return list;
}

/* As parts_of() in _body.py. */
static PyObject *
parse_body (const char *data, gsize length)
{
  const char *at = data + sizeof (MpStartBody);
  const char *end = data + length;
  MpStartBody body;
  PyObject *list;

  if (length < sizeof body)
    return complain_of_request ();
  memcpy (&body, data, sizeof body);
  if (body.magic != MP_START_MAGIC)
    return complain_of_request ();
  list = PyList_New (0);
  if (list != NULL && append (list, PyLong_FromUnsignedLong (body.codec)) &&
      append (list,
              take_bytes (&at, end, body.data_length, (body.flags & MP_START_HAS_DATA) != 0)) &&
      append (list,
              take_bytes (&at,
                          end,
                          body.preparation_length,
                          (body.flags & MP_START_HAS_PREPARATION) != 0)) &&
      append (list, take_strings (&at, end, 1, TRUE)) &&
      append (list, take_strings (&at, end, body.n_argv, TRUE)) &&
      append (list,
              body.flags & MP_START_HAS_ENVIRONMENT ? take_strings (&at, end, body.n_env, FALSE)
                                                    : Py_NewRef (Py_None)) &&
      append (list, take_strings (&at, end, body.n_surroundings, TRUE)))
    return list;
  Py_XDECREF (list);
  return NULL;
}

static PyObject *
child_read_start (PyObject *module, PyObject *descriptor)
{
  const int needed = F_SEAL_SHRINK | F_SEAL_WRITE;
  int fd = (int) PyLong_AsLong (descriptor);
  int seals;
  PyObject *parts;
  struct stat st;
  char *map;

  if (PyErr_Occurred () != NULL)
    return NULL;
  seals = fcntl (fd, F_GET_SEALS);
  if (seals < 0 || (seals & needed) != needed || fstat (fd, &st) < 0 || st.st_size == 0)
    return complain_of_request ();
  map = mmap (NULL, (gsize) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (map == MAP_FAILED)
    return raise_errno ();
  parts = parse_body (map, (gsize) st.st_size);
  munmap (map, (gsize) st.st_size);
  return parts;
}

static PyObject *
child_announce_link (PyObject *module, PyObject *args)
{
  char marker[96];
  long long fingerprint;
  struct stat st;
  sigset_t none;
  int kind, fd;

  if (!PyArg_ParseTuple (args, "iiL:announce_link", &kind, &fd, &fingerprint))
    return NULL;
  sigemptyset (&none);
  pthread_sigmask (SIG_SETMASK, &none, NULL);
  if (fstat (fd, &st) < 0)
    return raise_errno ();
  g_snprintf (marker,
              sizeof marker,
              "%d:%d:%d:%llu:%lld",
              getpid (),
              kind,
              fd,
              (unsigned long long) st.st_ino,
              fingerprint);
  if (setenv ("MP_LINK", marker, TRUE) < 0)
    return raise_errno ();
  Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
  { "fork_child",
    child_fork,
    METH_VARARGS,
    "fork_child(name, bound, gate): gives (pid, link, pidfd), in the child (0, link, whether the "
    "start has come already). Unless the name is None, the child takes it, closes all descriptors "
    "but its link, and if it is bound dies with its parent; but first, unless the descriptor gate "
    "is -1, it waits until there is something in that, for 100 ms at most. Its signals are "
    "blocked." },
  { "receive_message",
    child_receive_message,
    METH_VARARGS,
    "receive_message(fd, size): gives its bytes, and a list of descriptors." },
  { "send_message",
    child_send_message,
    METH_VARARGS,
    "send_message(fd, data, fds): sends data with a list of descriptors, without waiting." },
  { "receive_start",
    child_receive_start,
    METH_O,
    "receive_start(link): waits for the start; goes to its directory, with its standard streams. "
    "Gives the descriptor of what is to be done, and a list of those that came with it." },
  { "announce_link",
    child_announce_link,
    METH_VARARGS,
    "announce_link(kind, link, fingerprint): lets signals through, and tells libmp in this process "
    "from which zygote it comes." },
  { "read_start",
    child_read_start,
    METH_O,
    "read_start(descriptor): what is to be done, as parts_of() in _body.py gives it." },
  { NULL, NULL, 0, NULL },
};

gboolean
accelerator_add_child (PyObject *module)
{
  return PyModule_AddFunctions (module, functions) == 0;
}
