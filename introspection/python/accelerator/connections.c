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

/* Puts what was read of header and payload into @begun: a result would be lost if a signal's
 * handler raised as it is returned. */
static PyObject *
keep_part (PyObject *begun,
           const char *header,
           gsize header_length,
           const char *payload,
           gsize length)
{
  PyObject *parts =
    Py_BuildValue ("[y#y#]", header, (Py_ssize_t) header_length, payload, (Py_ssize_t) length);
  int failed = parts == NULL ? -1 : PyList_SetSlice (begun, 0, 0, parts);

  Py_XDECREF (parts);
  return failed == 0 ? PyBool_FromLong (TRUE) : NULL;
}

/* Reads header and payload, into @begun if not all of it is there. Takes @payload. */
static PyObject *
receive_now (int fd, PyObject *payload, guint32 length, PyObject *begun)
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
    result = keep_part (begun,
                        (const char *) header,
                        (gsize) (received - n_payload),
                        PyBytes_AsString (payload),
                        (gsize) n_payload);
  Py_DECREF (payload);
  return result;
}

static PyObject *
receive_soon (PyObject *module, PyObject *const *args, Py_ssize_t n)
{
  long fd;
  guint8 header[HEADER_LENGTH];
  PyThreadState *state;
  PyObject *payload;
  gssize seen;
  guint32 length;
  int error;

  if (n != 2 || !PyList_Check (args[1]))
    return PyErr_Format (PyExc_TypeError, "receive_soon() takes a descriptor and a list");
  fd = PyLong_AsLong (args[0]);
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
  return payload != NULL ? receive_now ((int) fd, payload, length, args[1]) : NULL;
}

static PyMethodDef functions[] = {
  { "receive_soon",
    (PyCFunction) (void *) receive_soon,
    METH_FASTCALL,
    "receive_soon(fd, begun): the next message, if it is short and there, or comes soon.\n\n"
    "Otherwise True, or False for what is not a socket. If some of the message was read, the list\n"
    "begun has the four bytes of its length, or fewer, and what was read behind them." },
  { NULL, NULL, 0, NULL },
};

gboolean
accelerator_add_connections (PyObject *module)
{
  return PyModule_AddFunctions (module, functions) == 0;
}
