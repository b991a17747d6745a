"""Writes ``messages.csv``: 360 short messages to the support of a bicycle shop that does not exist, with their labels.

All sentences were written for this repository and have its licence. A message is an opening, a matter and an ending
drawn at random. A third also mention what another class is about, and more than a quarter are vague and could stand
for two classes, as in a real inbox, so that no model gets all of them right. The same file every time:
``python data/own/make_messages.py``.
"""

import csv
import random
from pathlib import Path

ROWS = {"delivery": 108, "return": 78, "defect": 66, "payment": 48, "advice": 36, "account": 24}  # imbalanced
MENTIONS, VAGUE = 0.35, 0.28  # parts of the rows

OPENINGS = ("Hello,", "Hi,", "Good morning,", "Dear team,", "Again:", "Sorry, but")
ENDINGS = ("Thanks!", "Thank you.", "Please let me know.", "It is rather urgent.", "No hurry.", "Kind regards")
BARE = 0.6  # of the messages have no opening, and of all as many no ending
ITEMS = (
    "rear light", "child seat", "helmet", "pannier", "saddle", "folding lock", "rain jacket", "floor pump", "basket",
    "trailer", "dynamo", "kickstand", "phone holder", "bell",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
SPANS = ("two days", "a week", "three weeks", "a month", "one winter")
MATTERS = {
    "delivery": (
        "where is my {item}?", "the tracking page has not moved since {day}.",
        "the courier left the {item} with a neighbour whom nobody knows.", "can you send the {item} to my office?",
        "only half of the order is here, and the {item} is not in the box.", "when will the {item} be with me?",
        "I am away on {day}; could the driver come another time?", "it says delivered, but there is no {item} here.",
        "may I collect the {item} from the shop instead of waiting for the van?", "has order {number} left you yet?",
        "you promised the {item} for {day}.", "it has been {span} and the {item} is still on its way.",
        "the driver rang at the wrong house on {day}.", "can you still change the street on order {number}?",
    ),
    "return": (
        "I would like to send the {item} back.", "can I swap the {item} for the next size?",
        "where do I find the label for sending the {item} back?", "how long may I think about keeping the {item}?",
        "please cancel the {item}, I found one elsewhere.", "can I bring the {item} back without its box?",
        "the {item} looks different from the picture, so I do not want to keep it.",
        "we were given the same {item} twice and need only one.", "who pays the postage if I do not keep the {item}?",
        "I have opened the {item} but not used it; do you take it back?", "please stop order {number} if you can.",
        "I picked the wrong colour and would rather have the {item} in black.",
    ),
    "defect": (
        "the {item} broke after {span}.", "a screw of the {item} came loose on {day} and is gone.",
        "the {item} rattles on every stone.", "is a crack in the {item} covered by the guarantee?",
        "the {item} stopped working in the rain.", "can you repair the {item}, or do you have the spare part?",
        "there is a dent in the {item}.", "the clip of the {item} is stuck.", "the {item} has come apart at the seam.",
        "after {span} the {item} is rusty.", "the {item} worked for {span} and now does nothing.",
    ),
    "payment": (
        "I was charged twice for the {item}.", "I need a bill for the {item} in the name of my company.",
        "my card was refused for the {item}.", "the voucher was not taken off the price of the {item}.",
        "can I pay for the {item} in three parts?", "why does the {item} cost more on the bill than on the page?",
        "I got a reminder, but I paid on {day}.", "the sum on order {number} is wrong.",
        "to which account do I transfer the money for order {number}?", "is the postage of the {item} taxed as well?",
    ),
    "advice": (
        "does the {item} go with a small frame?", "which {item} would you take for long tours?",
        "how heavy is the {item}?", "can I mount the {item} without tools?", "is the {item} really waterproof?",
        "what is the difference between the two kinds of {item}?", "will there be a new {item} next year?",
        "would the {item} suit a boy of six?", "is the {item} on page {page} of the catalogue any good?",
    ),
    "account": (
        "I have not been able to log in since {day}.", "how do I change the street in my profile?",
        "please delete everything you know about me.", "the mail for a new password never comes.",
        "I get your newsletter twice and want it not at all.", "I seem to have two profiles, can you join them?",
        "my daughter cannot sign up, the page says that she exists already.", "how do I see what I bought last year?",
    ),
}  # fmt: skip
ASIDES = {  # what has happened, of which nothing is wanted any more
    "delivery": ("The {item} came late, on {day}.", "The parcel is here at last.", "The courier was very friendly.",
                 "It took {span} until the box with the {item} was here."),
    "return": ("I sent the {item} back on {day}.", "You swapped my {item} without any trouble.",
               "I wanted to return the {item}, but I am keeping it."),
    "defect": ("My first {item} broke last year.", "You repaired my {item} in spring.",
               "The old {item} had a crack, the new one is fine."),
    "payment": ("I paid for the {item} on {day}.", "The bill for the {item} was right this time.",
                "I have got the money for the {item} back."),
    "advice": ("Your colleague told me that the {item} suits my frame.", "I chose the {item} on your advice.",
               "The lighter {item} was the right choice."),
    "account": ("I can log in again.", "My new address is in my profile now.", "I ordered the {item} as a guest."),
}  # fmt: skip
EITHER = {  # vague messages, which people mean one way or the other
    ("delivery", "return"): ("I got the wrong {item}.", "this is not the {item} that I ordered.",
                             "it has taken {span}, I hardly need the {item} any more."),
    ("return", "defect"): ("I am not content with the {item}, what can you do?", "the {item} is no good.",
                           "I would like another {item} in place of this one."),
    ("return", "payment"): ("when do I get my money for the {item}?", "there is still no refund for order {number}."),
    ("delivery", "payment"): ("I paid on {day} and have heard nothing since.", "what about order {number}?"),
    ("defect", "advice"): ("the {item} does not fit.", "how is the {item} fastened? Mine keeps slipping.",
                           "should the {item} make a noise?"),
    ("return", "advice"): ("would the larger {item} be better?",),
    ("account", "payment"): ("the page does not take my card any more.",),
    ("account", "delivery"): ("I do not see order {number} anywhere.", "you have my old address."),
    ("delivery", "defect"): ("a part of the {item} is missing.", "the box was open, and look at the {item}!"),
}  # fmt: skip


def body(label: str, draw: random.Random) -> str:
    """What a message of this class says between its opening and its ending."""
    kind = draw.random()
    if kind < VAGUE:
        return draw.choice([text for labels, texts in EITHER.items() if label in labels for text in texts])
    matter = draw.choice(MATTERS[label])
    if kind > VAGUE + MENTIONS:
        return matter
    aside = draw.choice(ASIDES[draw.choice([other for other in ASIDES if other != label])])
    first = matter[0].upper() + matter[1:]
    return draw.choice((f"{aside} {first}", f"{aside} Now {matter}", f"{matter} {aside}"))


def messages() -> list[tuple[str, str]]:
    """All rows, text and label, in a random order, none twice."""
    draw, rows = random.Random(53), {}
    for label, count in ROWS.items():
        wanted = len(rows) + count
        while len(rows) < wanted:
            text = body(label, draw)
            opening, ending = (draw.choice(parts) if draw.random() > BARE else "" for parts in (OPENINGS, ENDINGS))
            for name, values in (("item", ITEMS), ("day", DAYS), ("span", SPANS)):
                while f"{{{name}}}" in text:
                    text = text.replace(f"{{{name}}}", draw.choice(values), 1)
            text = text.format(number=draw.randrange(20_000, 30_000), page=draw.randrange(4, 90))
            if not opening.endswith((",", ":", "but")):
                text = text[0].upper() + text[1:]
            elif not text.startswith("I "):
                text = text[0].lower() + text[1:]
            rows.setdefault(" ".join(filter(None, (opening, text, ending))), label)
    found = list(rows.items())
    draw.shuffle(found)
    return found


if __name__ == "__main__":
    with Path(__file__).with_name("messages.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "label"))
        writer.writerows(messages())
