/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* A short message of a Connection, in one call and without sleeping. */

#include "accelerator.h"

#include <errno.h>
#include <sys/socket.h>

#define HEADER_LENGTH 4
/* What is longer is read by who waits for it. */
#define MAX_LENGTH 65536

static guint32
length_of (const guint8 *header)
{
  return (guint32) header[0] << 24 | (guint32) header[1] << 16 | (guint32) header[2] << 8 |
         (guint32) header[3];
}

/* Reads header and payload; (header, beginning) if not all of it is there. Takes @payload. */
static PyObject *
receive_now (int fd, PyObject *payload, guint32 length)
{
  guint8 header[HEADER_LENGTH];
  struct iovec parts[] = {
    { .iov_base = header, .iov_len = sizeof header },
    { .iov_base = PyBytes_AsString (payload), .iov_len = length },
  };
  struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
  gssize received = recvmsg (fd, &message, MSG_DONTWAIT), n_payload;
  PyObject *result;

  if (received == (gssize) (HEADER_LENGTH + length))
    return payload;
  n_payload = MAX (received - HEADER_LENGTH, 0);
  if (received < 0 && errno != EAGAIN)
    result = PyErr_SetFromErrno (PyExc_OSError);
  /* Somebody else may have read it meanwhile. */
  else if (received <= 0)
    result = PyBool_FromLong (TRUE);
  else
    result = Py_BuildValue ("(y#y#)",
                            (const char *) header,
                            (Py_ssize_t) (received - n_payload),
                            PyBytes_AsString (payload),
                            (Py_ssize_t) n_payload);
  Py_DECREF (payload);
  return result;
}

static PyObject *
receive_soon (PyObject *module, PyObject *number)
{
  long fd = PyLong_AsLong (number);
  guint8 header[HEADER_LENGTH];
  PyThreadState *state;
  PyObject *payload;
  gssize seen;
  guint32 length;
  int error;

  if (fd < 0 || fd > G_MAXINT)
    {
      if (PyErr_Occurred () == NULL)
        PyErr_Format (PyExc_ValueError, "a descriptor cannot be %ld", fd);
      return NULL;
    }
  state = PyEval_SaveThread ();
  seen = mp_connection_peek_soon ((int) fd, header, sizeof header);
  error = errno;
  PyEval_RestoreThread (state);
  /* Before anything is read: what a handler raises now is no loss. */
  if (PyErr_CheckSignals () != 0)
    return NULL;
  if (seen < 0 && error != EAGAIN && error != ENOTSOCK)
    {
      /* Not for who reads next: the system tells it once. */
      errno = error;
      return PyErr_SetFromErrno (PyExc_OSError);
    }
  if (seen < HEADER_LENGTH)
    return PyBool_FromLong (seen >= 0 || error == EAGAIN);
  length = length_of (header);
  if (length == 0 || length > MAX_LENGTH)
    Py_RETURN_TRUE;
  payload = PyBytes_FromStringAndSize (NULL, length);
  return payload != NULL ? receive_now ((int) fd, payload, length) : NULL;
}

static PyMethodDef functions[] = {
  { "receive_soon",
    receive_soon,
    METH_O,
    "receive_soon(fd): the next message, if it is short and there, or comes soon.\n\n"
    "If its payload is not all there: (the four bytes of its length, what was read behind them).\n"
    "True if nothing was read, and False for what is not a socket." },
  { NULL, NULL, 0, NULL },
};

gboolean
accelerator_add_connections (PyObject *module)
{
  return PyModule_AddFunctions (module, functions) == 0;
}
