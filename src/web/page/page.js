// The live parts: log lines as they come, accounts when they change, a countdown. Without this everything else works.
"use strict";
(function () {
  var LINES = 1000, part = document.getElementById("part"), log = document.getElementById("log");
  var live = document.getElementById("live"), reloads = document.body.hasAttribute("data-reloads");

  // Nothing is taken from under somebody's hands.
  function busy() {
    var at = document.activeElement, open = document.querySelector("details[open]");
    var typed = Array.prototype.some.call(document.querySelectorAll("input"), function (one) {
      return one.type !== "hidden" && one.value !== "";
    });
    return typed || !!open || (!!at && at.tagName === "INPUT");
  }

  function show(words) { if (live && live.textContent !== words) live.textContent = words; }

  var asking = false;
  function refresh() {
    if (document.hidden || asking || busy()) return;
    if (reloads) { location.reload(); return; }
    if (!part) return;
    asking = true;
    fetch("part", { credentials: "same-origin" }).then(function (answer) {
      if (answer.status === 403) { location.reload(); return ""; }
      return answer.ok ? answer.text() : "";
    }).then(function (html) {
      asking = false;
      if (!html || busy()) return;
      var at = document.activeElement, link = at && part.contains(at) ? at.getAttribute("href") || at.textContent : null;
      part.innerHTML = html;
      if (!link) return;
      Array.prototype.some.call(part.querySelectorAll("a,button"), function (one) {
        var same = (one.getAttribute("href") || one.textContent) === link;
        if (same) one.focus();
        return same;
      });
    }).catch(function () { asking = false; });
  }

  if (log) log.scrollTop = log.scrollHeight;

  if (window.EventSource) {
    var events = new EventSource("events");
    events.addEventListener("open", function () { show("live"); });
    events.addEventListener("error", function () { show("not connected; trying again"); });
    events.addEventListener("change", refresh);
    events.addEventListener("log", function (event) {
      if (!log) return;
      var end = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
      var line = document.createElement("div");
      line.textContent = event.data;
      log.appendChild(line);
      while (log.childElementCount > LINES) log.removeChild(log.firstChild);
      if (end) log.scrollTop = log.scrollHeight;
    });
  }

  if (part) setInterval(refresh, 10000);

  var clock = document.querySelector("[data-seconds]");
  if (clock) {
    var until = Date.now() + 1000 * Number(clock.getAttribute("data-seconds"));
    var tick = function () {
      var left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
      clock.textContent = Math.floor(left / 60) + ":" + String(left % 60).padStart(2, "0");
      if (left === 0) { clearInterval(ticking); setTimeout(refresh, 2000); }
    };
    var ticking = setInterval(tick, 1000);
    tick();
  }
})();
