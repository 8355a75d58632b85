/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-zygote-protocol-private.h"

#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAD(length) (((length) + 7) & ~(gsize) 7)

static void
append_padded (GByteArray *bytes, const guint8 *data, gsize length)
{
  static const guint8 zero[8] = { 0 };

  if (length > 0)
    g_byte_array_append (bytes, data, length);
  g_byte_array_append (bytes, zero, PAD (length) - length);
}

static guint
append_strings (GByteArray *bytes, char *const *strings)
{
  guint n = 0;

  if (strings != NULL)
    for (n = 0; strings[n] != NULL; n++)
      g_byte_array_append (bytes, (const guint8 *) strings[n], strlen (strings[n]) + 1);
  return n;
}

static gboolean
write_all (int fd, const guint8 *data, gsize length)
{
  while (length > 0)
    {
      gssize written = write (fd, data, length);

      if (written < 0 && errno == EINTR)
        continue;
      if (written < 0)
        return FALSE;
      data += written;
      length -= written;
    }
  return TRUE;
}

/* Big data goes straight from the caller's memory into the memfd. */
static gboolean
write_body (int fd, const MpStart *start)
{
  g_autoptr (GByteArray) tail = g_byte_array_new ();
  static const guint8 zero[8] = { 0 };
  MpStartBody body = { 0 };
  const char *task = start->task != NULL ? start->task : "";

  append_padded (tail, start->preparation, start->preparation_length);
  g_byte_array_append (tail, (const guint8 *) task, strlen (task) + 1);

  body.magic = MP_START_MAGIC;
  body.kind = start->kind;
  body.codec = start->codec;
  body.flags = (start->data != NULL ? MP_START_HAS_DATA : 0) |
               (start->preparation != NULL ? MP_START_HAS_PREPARATION : 0) |
               (start->env != NULL ? MP_START_HAS_ENVIRONMENT : 0) |
               (start->outlives ? MP_START_OUTLIVES : 0);
  body.data_length = start->data_length;
  body.preparation_length = start->preparation_length;
  body.fingerprint = start->fingerprint;
  body.n_argv = append_strings (tail, start->argv);
  body.n_env = append_strings (tail, start->env);
  body.n_surroundings = append_strings (tail, start->surroundings);

  return write_all (fd, (const guint8 *) &body, sizeof body) &&
         write_all (fd, start->data, start->data_length) &&
         write_all (fd, zero, PAD (start->data_length) - start->data_length) &&
         write_all (fd, tail->data, tail->len);
}

int
mp_start_to_memfd (const MpStart *start, GError **error)
{
  g_auto (MpFd) fd = memfd_create ("mp-start", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  if (fd < 0 || !write_body (fd, start) ||
      fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
    {
      mp_set_error_from_errno (error, errno, "Cannot write down what the process is to run");
      return -1;
    }
  return g_steal_fd (&fd);
}

/* Takes @n strings from *@strings, which end before @end. NULL if there are fewer. */
static char **
take_strings (char **strings, const char *end, gsize n)
{
  g_autofree char **array = NULL;
  char *next = *strings;

  if (n > (gsize) (end - next))
    return NULL;
  array = g_new0 (char *, n + 1);
  for (gsize i = 0; i < n; i++)
    {
      char *nul = next < end ? memchr (next, '\0', end - next) : NULL;

      if (nul == NULL)
        return NULL;
      array[i] = next;
      next = nul + 1;
    }
  *strings = next;
  return g_steal_pointer (&array);
}

static gboolean
parse_body (MpStart *start)
{
  const MpStartBody *body = start->map;
  guint8 *next = (guint8 *) start->map + sizeof *body;
  g_autofree char **task = NULL;
  gsize left;
  char *strings;
  const char *end = (const char *) start->map + start->map_length;

  if (start->map_length < sizeof *body || body->magic != MP_START_MAGIC ||
      body->kind > MP_START_CONFIGURE || body->codec > MP_CODEC_JSON)
    return FALSE;
  left = start->map_length - sizeof *body;
  if (body->data_length > left || PAD (body->data_length) > left)
    return FALSE;
  left -= PAD (body->data_length);
  if (body->preparation_length > left || PAD (body->preparation_length) > left)
    return FALSE;

  start->kind = body->kind;
  start->codec = body->codec;
  start->fingerprint = body->fingerprint;
  start->data_length = body->data_length;
  if (body->flags & MP_START_HAS_DATA)
    start->data = next;
  next += PAD (body->data_length);
  start->preparation_length = body->preparation_length;
  if (body->flags & MP_START_HAS_PREPARATION)
    start->preparation = next;
  strings = (char *) next + PAD (body->preparation_length);

  task = take_strings (&strings, end, 1);
  if (task == NULL)
    return FALSE;
  start->task = task[0];
  start->argv = take_strings (&strings, end, body->n_argv);
  if (start->argv == NULL)
    return FALSE;
  if (body->flags & MP_START_HAS_ENVIRONMENT)
    {
      start->env = take_strings (&strings, end, body->n_env);
      if (start->env == NULL)
        return FALSE;
    }
  start->outlives = (body->flags & MP_START_OUTLIVES) != 0;
  start->surroundings = take_strings (&strings, end, body->n_surroundings);
  return start->surroundings != NULL;
}

gboolean
mp_start_from_memfd (MpStart *start, int fd, GError **error)
{
  struct stat st;
  int seals = fcntl (fd, F_GET_SEALS);

  memset (start, 0, sizeof *start);
  if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_WRITE)) != (F_SEAL_SHRINK | F_SEAL_WRITE) ||
      fstat (fd, &st) < 0 || st.st_size < (off_t) sizeof (MpStartBody))
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_CORRUPT,
                           "The request to start a process is not one");
      return FALSE;
    }

  /* Private and writable: tasks get the strings as their environment. */
  start->map = mmap (NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (start->map == MAP_FAILED)
    {
      start->map = NULL;
      return mp_set_error_from_errno (error, errno, "Cannot map the request to start a process");
    }
  start->map_length = st.st_size;
  if (!parse_body (start))
    {
      mp_start_clear (start);
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_CORRUPT,
                           "The request to start a process is malformed");
      return FALSE;
    }
  return TRUE;
}

void
mp_start_clear (MpStart *start)
{
  if (start->map != NULL)
    {
      munmap (start->map, start->map_length);
      g_free (start->argv);
      g_free (start->env);
      g_free (start->surroundings);
    }
  memset (start, 0, sizeof *start);
}

gboolean
mp_zygote_message_check (gconstpointer data,
                         gsize length,
                         MpZygoteMessage *message,
                         const char **text)
{
  if (length < sizeof *message)
    return FALSE;
  memcpy (message, data, sizeof *message);
  if (message->magic != MP_ZYGOTE_MAGIC || message->text_length != length - sizeof *message)
    return FALSE;
  if (text != NULL)
    *text = (const char *) data + sizeof *message;
  return TRUE;
}
