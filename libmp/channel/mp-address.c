/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-address-private.h"

#include <gio/gunixsocketaddress.h>
#include <string.h>
#include <sys/un.h>

#include "../base/mp-error-private.h"

#define UNIX "unix:"
#define ABSTRACT "unix-abstract:"
#define TCP "tcp:"

static gboolean
set_invalid (GError **error, const char *text, const char *why)
{
  g_set_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT, "The address “%s” %s", text, why);
  return FALSE;
}

static GSocketAddress *
parse_unix (const char *text, const char *name, GUnixSocketAddressType type, GError **error)
{
  gsize length = strlen (name);

  /* With the zero before or behind it. */
  if (length == 0)
    set_invalid (error, text, "has no name");
  else if (length + 1 > sizeof ((struct sockaddr_un *) NULL)->sun_path)
    set_invalid (error, text, "is too long for a socket");
  else
    return g_unix_socket_address_new_with_type (name, (int) length, type);
  return NULL;
}

/* The last colon is before the port. An address of version 6 is in brackets. */
static gboolean
split_host (const char *text, const char *rest, char **host, guint16 *port, GError **error)
{
  const char *colon = strrchr (rest, ':');
  guint64 number = 0;
  gsize length;

  if (colon == NULL || colon == rest)
    return set_invalid (error, text, "is not tcp:HOST:PORT");
  if (!g_ascii_string_to_unsigned (colon + 1, 10, 0, G_MAXUINT16, &number, NULL))
    return set_invalid (error, text, "has no port from 0 to 65535");
  length = (gsize) (colon - rest);
  if (rest[0] == '[' && length > 2 && colon[-1] == ']')
    {
      rest++;
      length -= 2;
    }
  *host = g_strndup (rest, length);
  *port = (guint16) number;
  return TRUE;
}

GSocketConnectable *
mp_address_parse (const char *text, GError **error)
{
  g_autofree char *host = NULL;
  GSocketAddress *address = NULL;
  guint16 port = 0;

  if (g_str_has_prefix (text, UNIX))
    address = parse_unix (text, text + strlen (UNIX), G_UNIX_SOCKET_ADDRESS_PATH, error);
  else if (g_str_has_prefix (text, ABSTRACT))
    address = parse_unix (text, text + strlen (ABSTRACT), G_UNIX_SOCKET_ADDRESS_ABSTRACT, error);
  else if (!g_str_has_prefix (text, TCP))
    set_invalid (error, text, "does not begin with unix:, unix-abstract: or tcp:");
  else if (split_host (text, text + strlen (TCP), &host, &port, error))
    {
      address = g_inet_socket_address_new_from_string (host, port);
      if (address == NULL)
        return g_network_address_new (host, port);
    }
  return address != NULL ? G_SOCKET_CONNECTABLE (address) : NULL;
}

/* Of the addresses of a name, one of version 4, as all peers can reach. */
static GSocketAddress *
look_up (const char *text, GNetworkAddress *name, GError **error)
{
  g_autoptr (GResolver) resolver = g_resolver_get_default ();
  g_autoptr (GError) local_error = NULL;
  const char *host = g_network_address_get_hostname (name);
  GSocketAddress *address = NULL;
  GList *found = g_resolver_lookup_by_name_with_flags (resolver,
                                                       host,
                                                       G_RESOLVER_NAME_LOOKUP_FLAGS_IPV4_ONLY,
                                                       NULL,
                                                       NULL);

  if (found == NULL)
    found = g_resolver_lookup_by_name (resolver, host, NULL, &local_error);
  if (found != NULL)
    address = g_inet_socket_address_new (found->data, g_network_address_get_port (name));
  else
    g_set_error (error, MP_ERROR, MP_ERROR_NOT_FOUND, "%s: %s", text, local_error->message);
  g_resolver_free_addresses (found);
  return address;
}

GSocketAddress *
mp_address_parse_local (const char *text, GError **error)
{
  g_autoptr (GSocketConnectable) connectable = mp_address_parse (text, error);

  if (connectable == NULL)
    return NULL;
  if (G_IS_NETWORK_ADDRESS (connectable))
    return look_up (text, G_NETWORK_ADDRESS (connectable), error);
  return G_SOCKET_ADDRESS (g_steal_pointer (&connectable));
}

char *
mp_address_to_text (GSocketAddress *address)
{
  GInetSocketAddress *inet;
  g_autofree char *host = NULL;
  gboolean brackets;

  if (G_IS_UNIX_SOCKET_ADDRESS (address))
    {
      GUnixSocketAddress *local = G_UNIX_SOCKET_ADDRESS (address);

      return g_strconcat (g_unix_socket_address_get_address_type (local) ==
                              G_UNIX_SOCKET_ADDRESS_PATH
                            ? UNIX
                            : ABSTRACT,
                          g_unix_socket_address_get_path (local),
                          NULL);
    }
  inet = G_INET_SOCKET_ADDRESS (address);
  host = g_inet_address_to_string (g_inet_socket_address_get_address (inet));
  brackets = strchr (host, ':') != NULL;
  return g_strdup_printf (TCP "%s%s%s:%u",
                          brackets ? "[" : "",
                          host,
                          brackets ? "]" : "",
                          g_inet_socket_address_get_port (inet));
}
