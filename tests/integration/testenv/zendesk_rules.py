"""Zendesk's business rules as values: which triggers are valid, whether one matches, what
its actions make of a ticket, what its placeholders become. Knows no HTTP and no clock.
Rules: Zendesk's Conditions, Actions and Placeholders references."""

import dataclasses
import re

TAG = re.compile(r"[\w\-/.:]+", re.ASCII)
TAGS = ("includes", "not_includes")
EQUAL = ("is", "is_not")
CHANGES = ("changed", "changed_to", "changed_from", "not_changed", "not_changed_to",
           "not_changed_from", "value", "value_previous", "not_value", "not_value_previous")
PRESENT = ("present", "not_present")

# field: (operators, pattern of the value)
CONDITIONS = {
    "current_tags": (TAGS, r"\S+(?: \S+)*"),
    "role": (EQUAL, r"agent|end_user|\d+"),
    "update_type": (("is",), r"Create|Change"),
    "status": (EQUAL + ("less_than", "greater_than") + CHANGES,
               r"(?:new|open|pending|hold|solved|closed|)"),
    "current_via_id": (EQUAL, r"\d+"),
    "comment_is_public": (("is", "is_not"), r"true|false|not_relevant|requester_can_see_comment"),
}
CUSTOM = (EQUAL + PRESENT, r".*")
ACTIONS = {
    "current_tags": r"\S+(?: \S+)*",
    "remove_tags": r"\S+(?: \S+)*",
    "set_tags": r"\S+(?: \S+)*",
    "status": r"new|open|pending|hold|solved|closed",
    "notification_webhook": None,
}
PLACEHOLDER = re.compile(r"\{\{\s*([^}|]*?)\s*(\|[^}]*)?\}\}")
DATE_FILTER = re.compile(r"\|\s*date:\s*(?:'%Y-%m-%d'|\"%Y-%m-%d\")\s*")


@dataclasses.dataclass
class Event:
    """One update of a ticket."""

    user: dict
    kind: str = "Change"  # or Create
    comment: dict = None
    via_id: str = "5"  # web service; 0 is the web form


def split_tags(value):
    """Tags as Zendesk takes them: lower case, from a list or a text with blanks."""
    words = value.split() if isinstance(value, str) else [w for v in value for w in str(v).split()]
    return [word.lower() for word in words]


# --- is it a trigger? ---

def _condition_faults(condition, fields):
    if not isinstance(condition, dict) or not isinstance(condition.get("field"), str):
        return ["Invalid condition"]
    field, operator = condition["field"], condition.get("operator", "is")
    custom = re.fullmatch(r"custom_fields_(\d+)", field)
    if custom and int(custom[1]) not in fields:
        return [f"Conditions: field {field} does not exist"]
    if not custom and field not in CONDITIONS:
        return [f"Conditions: {field} is an invalid condition"]
    operators, pattern = CUSTOM if custom else CONDITIONS[field]
    if operator not in operators:
        return [f"Conditions: {operator} is an invalid operator for {field}"]
    value = condition.get("value")
    if not isinstance(value, str) and not (value is None and operator in PRESENT):
        return [f"Conditions: the value of {field} must be a string"]
    if value is not None and not re.fullmatch(pattern, value):
        return [f"Conditions: {value} is an invalid value for {field}"]
    return []


def _webhook_action_faults(value, webhooks):
    if not isinstance(value, list) or len(value) != 2:
        return ["Actions: the value of notification_webhook must be an array of two"]
    webhook = webhooks.get(value[0]) if isinstance(value[0], str) else None
    if not webhook:
        return [f"Actions: webhook {value[0]} does not exist"]
    if webhook["subscriptions"] != ["conditional_ticket_events"]:
        return [f"Actions: webhook {value[0]} is subscribed to events"]
    return [] if isinstance(value[1], str) else ["Actions: the body must be a string"]


def _action_faults(action, webhooks):
    if not isinstance(action, dict) or action.get("field") not in ACTIONS:
        return [f"Actions: {action.get('field') if isinstance(action, dict) else action} "
                "is an invalid action"]
    if action["field"] == "notification_webhook":
        return _webhook_action_faults(action.get("value"), webhooks)
    value = action.get("value")
    if not isinstance(value, str) or not re.fullmatch(ACTIONS[action["field"]], value):
        return [f"Actions: {value} is an invalid value for {action['field']}"]
    return []


def trigger_faults(trigger, webhooks, fields):
    """What Zendesk would refuse in it, in words; empty if nothing."""
    faults = [] if str(trigger.get("title") or "").strip() else ["Title: cannot be blank"]
    conditions = trigger.get("conditions") or {}
    if not isinstance(conditions, dict) or set(conditions) - {"all", "any"}:
        return faults + ["Conditions: must have all and any"]
    every = [c for side in ("all", "any") for c in conditions.get(side) or []]
    if not every:
        faults.append("Conditions: at least one condition is required")
    for condition in every:
        faults += _condition_faults(condition, fields)
    actions = trigger.get("actions") or []
    if not actions:
        faults.append("Actions: at least one action is required")
    for action in actions:
        faults += _action_faults(action, webhooks)
    return faults


# --- does it match? ---

def _role(user, value):
    if value == "end_user":
        return user["role"] == "end-user"
    return user["role"] in ("agent", "admin") if value == "agent" else str(user["id"]) == value


def _holds(condition, ticket, event):
    field, value = condition["field"], condition.get("value")
    operator = condition.get("operator", "is")
    if field == "current_tags":
        found = bool(set(split_tags(value)) & set(ticket["tags"]))
        return found == (operator == "includes")
    if field == "role":
        return _role(event.user, value) == (operator == "is")
    if field == "update_type":
        return event.kind == value
    if field.startswith("custom_fields_"):
        held = ticket["custom_fields"].get(int(field.rsplit("_", 1)[1]))
        if operator in PRESENT:
            return (held not in (None, "")) == (operator == "present")
        return (str(held) == value) == (operator == "is")
    shown = {"status": ticket["status"], "current_via_id": event.via_id,
             "comment_is_public": str(bool(event.comment and event.comment["public"])).lower()}
    if operator not in EQUAL:
        raise NotImplementedError(f"the fake does not know {field} {operator}")
    return (shown[field] == value) == (operator == "is")


def matches(trigger, ticket, event):
    conditions = trigger["conditions"]
    either = conditions.get("any") or []
    return (all(_holds(c, ticket, event) for c in conditions.get("all") or [])
            and (not either or any(_holds(c, ticket, event) for c in either)))


# --- what it does ---

def render(text, ticket, event, world):
    """Placeholders become text; one without a value, or that nobody knows, is blank.
    world: users by id, the account's URL, whether values are JSON-escaped."""
    users, url, escape = world
    requester = users[ticket["requester_id"]]
    values = {
        "ticket.id": ticket["id"], "ticket.title": ticket["subject"],
        "ticket.description": ticket["description"], "ticket.status": ticket["status"],
        "ticket.tags": " ".join(ticket["tags"]),
        "ticket.link": f"{url}/agent/tickets/{ticket['id']}",
        "ticket.requester.email": requester["email"], "ticket.requester.name": requester["name"],
        "current_user.email": event.user["email"], "current_user.name": event.user["name"],
        **{f"ticket.ticket_field_{i}": v for i, v in ticket["custom_fields"].items()},
    }

    def put(match):
        name, pipe = match[1], match[2]
        if pipe and not DATE_FILTER.fullmatch(pipe):
            raise NotImplementedError(f"the fake does not know the filter {pipe}")
        value = values.get(name)
        shown = "" if value is None else str(value)
        return escape(shown) if escape else shown
    return PLACEHOLDER.sub(put, text)


def act(trigger, ticket):
    """The actions on the ticket itself. True if they changed it."""
    before = (list(ticket["tags"]), ticket["status"])
    for action in trigger["actions"]:
        field, value = action["field"], action["value"]
        if field == "current_tags":
            ticket["tags"] = sorted({*ticket["tags"], *split_tags(value)})
        elif field == "remove_tags":
            ticket["tags"] = sorted({*ticket["tags"]} - set(split_tags(value)))
        elif field == "set_tags":
            ticket["tags"] = sorted(set(split_tags(value)))
        elif field == "status":
            ticket["status"] = value
    return before != (ticket["tags"], ticket["status"])


def run(triggers, ticket, event, notify, restarts=True):
    """All active triggers from first to last, each at most once; notify(trigger, action)
    is told of webhooks. restarts: a change makes the list begin anew, without those that
    have fired. Whether Zendesk does so for every account is not documented: what is set
    up must work either way. The titles of those that fired, in order."""
    fired = []
    while True:
        changed = False
        for trigger in triggers:
            if not trigger["active"] or trigger in fired or not matches(trigger, ticket, event):
                continue
            fired.append(trigger)
            changed = act(trigger, ticket) or changed
            for action in trigger["actions"]:
                if action["field"] == "notification_webhook":
                    notify(trigger, action)
            if changed and restarts:
                break
        if not (changed and restarts):
            return [trigger["title"] for trigger in fired]
