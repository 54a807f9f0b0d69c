"""Login with the token, and logout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, redirect, render_template, request, session, url_for

from service import logs
from service.dashboard.web.access import TokenCheck


def add_login(app: Flask, tokens: TokenCheck | None, note_refusal: Callable[[str], None]) -> None:
    """Serve ``/login`` and ``/logout``; without a token to compare everybody may enter."""

    @app.route("/login", methods=["GET", "POST"])
    def login() -> Any:
        given = request.form.get("token", "") or _token_of_link()
        if tokens is None or (given and tokens.is_right(given.strip())):
            session["is_in"] = True
            logs.get().info("dashboard.entered")
            return redirect(url_for("overview"), code=303)
        if given:
            note_refusal("wrong token")
        return render_template("login.html", is_wrong=bool(given)), 401 if given else 200

    @app.post("/logout")
    def logout() -> Any:
        session.clear()
        return redirect(url_for("login"), code=303)


def _token_of_link() -> str:
    """The token of the address that the first start prints. Another site that links here must not use up attempts."""
    is_foreign = request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
    return "" if is_foreign else request.args.get("token", "")
