"""Run by Deephaven inside its application: hands the application's fields to the server."""

from deephaven.appmode import get_app_state

from server.access import view_only

view_only.receive(get_app_state())
