"""What made mail is written in. ``{a|b}`` picks one of these; ``{name}`` is filled from that list of ``WORDS``."""

PEOPLE = {
    "ada": "engineering", "ben": "housing", "cleo": "nursing", "dan": "school", "eve": "finance", "finn": "kitchen",
    "gus": "law", "hana": "music",
}  # fmt: skip
"""Whose mail it is, and what they work with."""

JOBS = {
    "engineering": (
        "{name}, the {pump|valve|turbine|sensor} drawings for {place} are {checked in|still missing}",
        "the vibration test of the {gearbox|bearing|rotor} {failed|passed} at {number} hertz",
        "can you review the load calculation before the {day} call with the supplier",
        "we saw {corrosion|cracks|a leak} on unit {number}, photographs attached",
        "the controller firmware {number} fixes the pressure alarm",
        "please order {number} flanges and the gasket set for the compressor",
    ),
    "housing": (
        "the viewing of the {flat|house|loft} on {street} street moved to {day}",
        "the seller {accepted|refused} the offer of {number} thousand, pending the survey",
        "{name} asks whether the boiler and the roof were inspected",
        "keys for number {number} are at the front desk, the tenant leaves on {day}",
        "the mortgage letter for the {street} street buyers came through",
        "photographs of the garden and the kitchen are ready for the listing",
    ),
    "nursing": (
        "the night shift on ward {number} is short on {day}, can you swap with {name}",
        "the patient in bed {number} needs a new dressing chart",
        "handover notes: blood pressure stable, next dose at {number} hours",
        "infection control visits the ward on {day}",
        "please complete the medication training before {day}",
        "the roster for the {place} clinic is up, holidays included",
    ),
    "school": (
        "the {maths|history|biology} exam for year {number} is on {day}",
        "{name}'s parents would like a meeting about the homework",
        "the bus for the {place} museum trip leaves at {number}",
        "marks are due {day}, the spreadsheet is in the staff folder",
        "we need {number} chairs and the projector for the assembly",
        "the choir rehearsal clashes with the football match",
    ),
    "finance": (
        "the quarterly forecast for {place} is on the agenda of the {day} meeting",
        "{name} wants the cash position and the open invoices by {day}",
        "the auditors ask for the contract with the bank, the signed page is missing",
        "the hedge against the dollar was closed yesterday, {name} has the tickets",
        "the ledger of {month} does not reconcile, please check the second tab of the spreadsheet",
        "the board approved the loan agreement with the {place} office",
    ),
    "kitchen": (
        "the fish delivery is late, take {number} kilos from {place}",
        "table {number} booked the tasting menu for {day}",
        "{name} is off sick, who can cover pastry on {day}",
        "the inspector liked the cold store, the report is attached",
        "new supplier for herbs, samples arrive {day}",
        "please recount the wine cellar before the weekend",
    ),
    "law": (
        "the hearing in the {place} case moved to {day}",
        "{name} returned the draft with {number} comments on the warranty clause",
        "opposing counsel filed a motion, we answer by {day}",
        "please bill {number} hours to the merger file",
        "the witness statement needs a signature on each page",
        "the settlement offer expires {day}",
    ),
    "music": (
        "rehearsal in {place} on {day}, bring the second violin part",
        "{name} cannot make the recording, the cellist is {number} minutes late as ever",
        "the hall wants the stage plan and the programme by {day}",
        "the publisher sent corrected scores for the slow movement",
        "{number} tickets left for the {place} concert",
        "the piano will be tuned on {day} before noon",
    ),
}

PRIVATE = (
    "{mum|dad|aunt rose|uncle leo} asks if we come for {lunch|dinner|the weekend}",
    "the {kids|twins} loved the {park|film|cake}, thank you for having us",
    "shall we {hike|cook|see a play} on {day}? {name} is in",
    "your parcel from the {book|shoe|garden} shop was left with the neighbour",
    "happy birthday {name}! I will call you on {day}",
    "i won {number} pounds at the village raffle, drinks are on me",
)

SERVICE = (
    "your invoice number {number} for {month} is attached, it is paid by direct debit",
    "your appointment at the {dentist|garage|library} is on {day} at {number}",
    "your order {number} was sent on {day}; track it in your account",
    "you signed in from a new device in {place}; if it was you, do nothing",
    "your train to {place} on {day} leaves from platform {number}",
    "the water will be off in {street} street on {day}",
)

GREY = {
    "newsletter": (
        "this week in {field}: {number} stories that you may have missed",
        "read our interview with {name} on the future of {field}",
        "you get this letter because you signed up; unsubscribe at the foot of the page",
        "the {month} issue of the {field} review is out",
        "{number} subscribers joined our {field} webinar, here is the recording",
    ),
    "recruiting": (
        "i came across your profile and have a {field} role in {place} that fits",
        "our client pays up to {number} thousand and offers remote work",
        "are you open to a short call on {day} about a new position",
        "{name} from talent partners here, is your cv up to date",
        "we are hiring {field} people with your background",
    ),
    "offers": (
        "{number} percent off everything until {day}, with code {month}",
        "your basket misses you: come back and save {number}",
        "the {month} sale has started, members first",
        "free delivery on {shoes|lamps|books|coffee} this weekend only",
        "two for one at our {place} shop, show this mail",
    ),
}

SPAM = {
    "prize": (
        "{congratulations|good news|dear winner}, your {address|number|ticket} was {drawn|selected|chosen}",
        "{number} thousand {dollars|pounds|euros} are {waiting for you|yours to keep}",
        "{claim|collect|confirm} your {reward|winnings|gift card} {today|within the day|before it lapses}",
        "send us your {full name|bank details|phone number} so that the {sum|cheque} can be {released|paid out}",
    ),
    "pills": (
        "{lose weight|sleep like a child|feel twenty again} with our {tablets|drops}, no {prescription|doctor} needed",
        "{cheap|discreet|overnight} {pharmacy|remedies|medication} shipped {worldwide|to your door}",
        "{doctors hate|clinics hide} this {trick|remedy}, {thousands|millions} are already {slimmer|happier}",
    ),
    "credit": (
        "{bad credit|debts|no savings}? {borrow|get} {number} thousand {in minutes|without checks|tonight}",
        "your {loan|overdraft|credit line} is {pre-approved|waiting}, {reply|apply} {now|here}",
        "{cut|halve} your {repayments|interest} with one {form|call}",
    ),
    "phishing": (
        "your {mailbox|account|card} {will be closed|is suspended|shows strange activity}",
        "{verify|restore|unlock} your {mailbox|account|card} {here|at once}, the form is attached",
        "{sign in|log on} with your {password|code} to {keep|recover} your {messages|access|funds}",
        "the {security team|help desk} could not {confirm|validate} your {identity|details}",
    ),
    "riches": (
        "this {coin|share|stock} will {triple|explode|soar} by {day}, {insiders|experts} are buying",
        "{earn|make} {number} hundred a {day|week} from {home|your sofa}, no {skills|boss}",
        "{double|multiply} your {savings|deposit} with our {robot|method}, {risk free|guaranteed}",
    ),
    "partner": (
        "i am {a widow|an officer|a banker} in {place} with {number} million to {move|share|invest}",
        "i need a {trusted|honest|discreet} {partner|friend} abroad, you keep {a third|half}",
        "{answer|write back} in {confidence|private} and i will {explain|send the papers}",
    ),
}

QUOTING = (
    "{name} got this, is it real",
    "i had one of those again, do not click on it",
    "see what landed in my inbox",
    "the filter let this one through",
)
"""Before a sentence of spam that a person shows to another."""

GREETINGS = ("hi", "hello", "dear all", "good morning", "dear {name}", "")
CLOSINGS = ("best regards", "thanks", "see you", "talk soon", "kind regards, {name}", "")
SMALL_TALK = (
    "let me know if anything is unclear",
    "sorry for the late answer",
    "as we said on {day}",
    "i hope you are well",
    "please reply to {name} as well",
    "more on {day}",
)

WORDS = {
    "name": ("maria", "tom", "yusuf", "ingrid", "carlos", "mei", "olu", "petra", "sam", "victor"),
    "day": ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "the 3rd", "the 21st"),
    "month": ("january", "march", "april", "june", "july", "september", "october"),
    "place": ("leeds", "porto", "hamburg", "oslo", "austin", "lagos", "osaka", "genoa"),
    "street": ("mill", "church", "station", "river", "elm", "north"),
    "field": ("design", "energy", "health", "teaching", "markets", "food", "software", "travel"),
    "number": ("3", "7", "12", "15", "20", "24", "40", "55", "80", "150", "300", "900"),
}  # fmt: skip
