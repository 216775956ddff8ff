/**
 * What the guard of the semantic cache knows of four languages: the few ways to write the same question that may pass for each
 * other, each with the place where it may. Closed lists: whatever is not here stays as it is, and makes another question (ADR 0019).
 * A change of anything here is a new `GUARD_VERSION`. Pure data.
 */
export interface LanguageRules {
  /** Words that tell the language. */
  readonly known: ReadonlySet<string>;
  /** Words that begin a question or an order, and have a capital at the very start for no other reason than that. */
  readonly starts: ReadonlySet<string>;
  /** How a question begins that is one without its mark too: no exclamation, no order, no part of a sentence. */
  readonly asks: RegExp;
  /** How an order begins: its full stop says nothing. */
  readonly orders: RegExp;
  /** Before a question or an order, and nothing of it. */
  readonly opening: RegExp;
  /** After a sentence that has ended. */
  readonly closing: RegExp;
  /** Of the whole question without its mark, in this order. */
  readonly frames: Replacements;
}
type Replacements = readonly (readonly [RegExp, string | ((...match: string[]) => string)])[];
const listOf = (text: string): string[] => text.trim().split(/\s+/).map((word) => word.replaceAll("_", " "));
const oneOf = (text: string): string => `(?:${listOf(text).join("|")})`;
const pairsOf = (text: string): ReadonlyMap<string, string> => new Map(listOf(text).map((pair) => pair.split("=") as [string, string]));
const numbers = (text: string): ReadonlyMap<string, string> => new Map(listOf(text).map((word, i) => [word, String(i + 2)]));
const keysOf = (of: ReadonlyMap<string, string>): string => `(?:${[...of.keys()].join("|")})`;
const word = (of: string): RegExp => new RegExp(`(?<!\\p{L})(?:${listOf(of).join("|")})(?!\\p{L})`, "iu");

/**
 * In whatever language: the question is about words, names, marks, strings, code or how one says something, so how it is itself
 * written may be what it asks for. Nothing of it is rewritten. These lists can only take hits away: what may be rewritten, and where,
 * is said by the closed lists below.
 */
export const OF_WORDS: readonly RegExp[] = [
  word(`spell\\p{L}* misspell\\p{L}* pronounc\\p{L}* pronunciation stands?_for words? wording terms? letters? means? meant meanings? say\\p{L}* said writ(?:e|es|ten|ing) wrote_down print\\p{L}* typ(?:e|es|ed|ing) us(?:e|es|ed|ing|age)
    answer\\p{L}* repl(?:y|ies|ied|ying) respon\\p{L}* tell\\p{L}* told send e-?mails? messag\\p{L}* texts? texting sign captions? labels? labell\\p{L}* buttons? titles? headlines? greet\\p{L}* polite\\p{L}* impolite\\p{L}* rude\\p{L}* manners
    courte\\p{L}* kindly respectful\\p{L}* tones? styles? (?:in)?formal\\p{L}* correct\\p{L}* incorrect\\p{L}* proper\\p{L}* right_way same british american english german french spanish italian japanese chinese russian portuguese
    korean latin greek arabic hindi dutch turkish swedish languages? dialects? translat\\p{L}* abbreviat\\p{L}* acronyms? initials? initialisms? short_for forms? synonyms? antonyms? homophones? homonyms? contractions? grammar\\p{L}* ungrammatical
    sentences? phras\\p{L}* paraphras\\p{L}* rephras\\p{L}* reword\\p{L}* rewrit\\p{L}* rhym\\p{L}* syllables? call(?:ed|s)? etymology nam(?:e|es|ed|ing) rename\\p{L}* symbols? signs? marks? capital\\s?i[sz]\\p{L}* capitals capital_letters? upper-?_?case\\p{L}*
    lower-?_?case\\p{L}* plurals? singulars? hyphen\\p{L}* apostrophes? commas? punctuat\\p{L}* question_marks? full_stops? accents? diacritics? umlauts? articles? nouns? verbs? adjectives? adverbs? pronouns? prepositions? prefix\\p{L}* suffix\\p{L}*
    differen\\p{L}* differ\\p{L}* versus vs or quot\\p{L}* cit(?:e|es|ing|ation|ations)`),
  word(`questions? prompts? quer(?:y|ies) requests? inputs? this_one above below following previous preceding verbatim literal\\p{L}* exact\\p{L}* repeat\\p{L}* echo\\p{L}* count(?:s|ed|ing)? characters? chars? strings? digits? spaces? whitespaces? bytes? tokens? tokeniz\\p{L}*
    vowels? consonants? palindrom\\p{L}* anagram\\p{L}* alphabet\\p{L}* scrabble crosswords? acrostic\\p{L}* ciphers? cipher\\p{L}* encipher\\p{L}* decipher\\p{L}* encod\\p{L}* decod\\p{L}* encrypt\\p{L}* hash\\p{L}* checksums? ascii unicode utf base64 hex\\p{L}* binary morse braille
    md5 sha\\p{N}* regex\\p{L}* regexps? match\\p{L}* globs? patterns? wildcards? pars(?:e|es|ed|er|ing) valid\\p{L}* invalid\\p{L}* syntax\\p{L}* lint\\p{L}* keywords? identifiers? variables? constants? expressions? commands?
    extensions? file_?names? domains? urls? links? hashtags? handles? usernames? codes? isbn formats? formatt\\p{L}* alphabetically numerolog\\p{L}* gematria import\\p{L}*`),
  word(`wort wörter\\p{L}* worte\\p{L}* heiß\\p{L}* heiss\\p{L}* bedeut\\p{L}* schreib\\p{L}* geschrieben rechtschreib\\p{L}* (?:ge)?sag(?:e|en|t|st|te) übersetz\\p{L}* abkürz\\p{L}* kürzel buchstab\\p{L}* zeichen\\p{L}* ausspr\\p{L}* ausgesprochen synonym\\p{L}* unterschied\\p{L}* oder satz sätze\\p{L}*
    höflich\\p{L}* unhöflich\\p{L}* förmlich\\p{L}* gruß grüß\\p{L}* begrüß\\p{L}* antwort\\p{L}* frage fragen groß-? kleinschreib\\p{L}* großschreib\\p{L}* grammatik\\p{L}* mehrzahl einzahl silben? vokale? reim\\p{L}* titel namens? nenn(?:t|en|st) genannt deutsch\\p{L}* englisch\\p{L}* französisch\\p{L}* spanisch\\p{L}* sprache\\p{L}* lautet richtig falsch tipp\\p{L}* eingeb\\p{L}* gebe_ich ziffern? wortlaut`),
  word(`mots? dit dit-on dire disent signifi\\p{L}* épel\\p{L}* orthograph\\p{L}* écri\\p{L}* tradui\\p{L}* traduc\\p{L}* abrévi\\p{L}* synonym\\p{L}* différen\\p{L}* ou lettres? caractères? phrases? prononc\\p{L}* poli polie polis politesse formule\\p{L}* répon\\p{L}* salu(?:er|tation|tations) titres? noms? nomm\\p{L}*
    appel\\p{L}* veut_dire pluriel singulier majuscules? minuscules? accents? voyelles? syllabes? rim\\p{L}* langues? français\\p{L}* anglais\\p{L}* allemand\\p{L}* espagnol\\p{L}* chiffres? tap(?:er|e|ez) correct\\p{L}* sigles?`),
  word(`palabras? dice dicen decir dicho significa\\p{L}* deletre\\p{L}* ortograf\\p{L}* escrib\\p{L}* escrit\\p{L}* traduc\\p{L}* traduzca abreviatura\\p{L}* siglas? sinónim\\p{L}* diferenci\\p{L}* o letras? caracteres? frases? oraci(?:ón|ones) pronunci\\p{L}* cortés cortes\\p{L}* educad\\p{L}* formal\\p{L}* respond\\p{L}*
    contest\\p{L}* salud(?:ar|o|os) títulos? nombres? llam\\p{L}* plural mayúsculas? minúsculas? tildes? acentos? vocales sílabas? rim\\p{L}* idiomas? lenguas? español\\p{L}* inglés\\p{L}* alemán\\p{L}* francés\\p{L}* dígitos? cifras? tecle\\p{L}* correct\\p{L}*`),
];
/** A word of what came before or after the question itself. With one of these, a greeting may be what is meant. */
export const POINTING = word("this that these those it just of_me about_me do_I_(?:sound|seem|look|come) dies dieses ça cela ceci c'est esto eso esta ese");

const PLACES = oneOf(`France Germany Spain Italy England Scotland Ireland Norway Sweden Denmark Finland Russia Ukraine Austria Switzerland Belgium Portugal Greece Argentina Canada Mexico Peru Colombia India Australia Egypt Nigeria Kenya
  Africa Europe Asia America Paris London Berlin Madrid Rome Vienna Tokyo Moscow Lisbon Munich Amsterdam`);
const TIMES = oneOf("Monday Tuesday Wednesday Thursday Friday Saturday January February April June July September October November December Christmas Easter");
const PEOPLE = oneOf("Shakespeare Mozart Beethoven Einstein");
const SIGHTS = oneOf("Eiffel_Tower Mount_Everest Berlin_Wall");
/** Known by one spelling, and by the same in small letters. Only where they are all that is asked for. */
const TECHNIQUES = oneOf("DNS HTTP HTTPS HTML CSS JSON SQL TCP UDP USB DNA NATO NASA JavaScript TypeScript Kubernetes PostgreSQL MySQL Linux GitHub");
const lowered = (_all: string, ...[before = "", name = ""]: string[]): string => `${before}${name.toLowerCase()}`;

const EN_NUMBERS = numbers("two three four five six seven eight nine ten eleven twelve");
const EN_COUNTED = oneOf("facts examples reasons tips ideas ways recipes books films movies songs jokes places lines paragraphs poems haikus advantages disadvantages benefits causes exercises hobbies animals cities countries");
const EN_UNITS = pairsOf(`km=km kilometre=km kilometres=km kilometer=km kilometers=km kg=kg kilogram=kg kilograms=kg cm=cm centimetre=cm centimetres=cm centimeter=cm centimeters=cm mm=mm millimetre=mm millimetres=mm millimeter=mm millimeters=mm
  metre=meters metres=meters meter=meters meters=meters litre=liters litres=liters liter=liters liters=liters hours=hours minutes=minutes seconds=seconds days=days weeks=weeks months=months years=years miles=miles pounds=pounds grams=grams`);
const inUnits = (_all: string, ...[number = "", unit = ""]: string[]): string => `${EN_NUMBERS.get(number) ?? number} ${EN_UNITS.get(unit) ?? unit}`;
const counted = (of: ReadonlyMap<string, string>) => (_all: string, ...[before = "", number = ""]: string[]): string => `${before}${of.get(number) ?? number}`;

const EN_BE = "(?:is|are|was|were)";
const EN_AUX = "(?:is|are|was|were|do|does|did|can|could|should|would)";
const EN_TELL = "(?:(?:(?:can|could|would|will) you )?(?:please )?tell me|I want to know|I would like to know|I was wondering)";
const EN_DEGREE = "(?:tall|old|far|big|long|high|deep|heavy|fast|large)";
const EN_ORDERS = `(?:explain|describe|list|give me|summarize|summarise|compare|recommend|suggest|convert|tell me|show me|(?:write|name) (?:a|an|\\d+|${[...EN_NUMBERS.keys()].join("|")}))`;
const EN_OWN = "(?:a|an|the|my|some)";
/** What one does on purpose, to a thing: after `how do I`, nobody asks of these how it comes that they do them. */
const EN_DEEDS = oneOf("boil cook bake fry grill roast peel install uninstall open close clean wash remove delete reset repair fix replace restart reboot update renew cancel reverse read merge sharpen descale unclog defrost");
const EN_MADE = oneOf("cake bread pizza tea coffee soup sauce omelette pancakes lemonade yogurt butter cheese jam pasta rice curry pie sandwich candle kite");
/** The whole of it: whoever asks how they do it "so fast" or "without noticing" asks something else. */
const EN_NOUN = "(?!(?:so|too|always|never|still|eyes|eyelids|mouth|fists?|throat|heart|that|who|when|while|if)\\b)[\\p{L}\\d]+";
const EN_DONE = `(?:${EN_DEEDS} ${EN_OWN}|make (?:${EN_OWN} )?(?=${EN_MADE}(?: |$)))(?: ?${EN_NOUN}){1,3}(?: (?:in|on|from|with|to|at|for) ${EN_NOUN}(?: ${EN_NOUN}){0,2})?`;
/** Before these, `'s` is "is", not "has". */
const EN_THINGS = "(?:the|a|an|my|your|our|their|his|its) (?:(?:[a-z]+est|best|main|average) )?[a-z]+(?:$| (?:of|in|on|at|for|from|between) )|(?:[A-Z]{2,}|dns|http|html|css|json|sql|tcp|udp|dna|nato|nasa|[a-z]{3,}(?:tion|sion|ism|ology|ity|ness|ment|esis|ysis))$";
const EN_NOT = pairsOf("can't=cannot don't=do_not doesn't=does_not didn't=did_not isn't=is_not aren't=are_not wasn't=was_not weren't=were_not won't=will_not wouldn't=would_not couldn't=could_not shouldn't=should_not haven't=have_not hasn't=has_not hadn't=had_not");
const EN_PROPERTY = oneOf("capital population currency height length area weight flag president king queen prime_minister");

const english: LanguageRules = {
  starts: new Set(listOf("what what's who who's whom whose which when where where's why how is are was were does did can could would should explain describe list name give show tell write summarise summarize compare recommend suggest convert please hi hello hey good")),
  known: new Set(listOf(`what what's who who's whom whose which when where where's why how is are was were am do does did can could would should will shall may might must has have had explain describe list name give show tell write summarise summarize define compare recommend suggest
    convert create find help please hi hello hey thanks thank the a an of in on at to for from with without by and or not no i you he she it we they my your his her its our their this that these those there if be been any some good quick let`)),
  asks: new RegExp(`^(?:who (?:${EN_AUX}|wrote|invented|discovered|painted|built|composed|founded|won|directed|has|had) |who's |which (?!${EN_BE} )[a-z]+ (?:[a-z]+ )?${EN_AUX} |which (?:is|are|was|were) the |what(?:'s| ${EN_AUX}| (?:time|colou?rs?) ${EN_AUX}) |(?:when|where|why) (?:${EN_AUX}(?:n't)?|can't|cannot) |where's |how (?:to|often ${EN_AUX}|${EN_AUX}|${EN_DEGREE} ${EN_AUX}|much ${EN_AUX}|(?:many|much) (?:[a-z]+ ){1,3}(?:${EN_AUX}|live|lives|have|has|need)) |${EN_BE} (?:the|a|an|my|there|\\d+|[A-Z]\\p{L}+) |I (?:cannot|can't|have|am|need|want) [^.?!]+\\. (?:What|How|Why|When) ${EN_AUX} |(?:does|did|can|could|would) (?:the|a|an|my|I|you|we|they|it) |should I )`, "u"),
  orders: new RegExp(`^(?:${EN_ORDERS}|I want to know|I would like to know|I was wondering) `),
  opening: /^(?:(?:hi|hello|hey|hi there|hello there|hey there|good morning|good afternoon|good evening), )?(?:please,? )?/,
  closing: /(?<=[?.!]) (?:please|thanks|thank you|thank you very much|thanks a lot|thanks in advance|thank you in advance)[.!]?$/i,
  frames: [
    [new RegExp(`^(what|who|where)'s (?=${EN_THINGS})`), "$1 is "],
    [new RegExp(`^I'm (?=\\p{L})`, "u"), "I am "],
    [new RegExp(`((?:^|(?<= ))(?:I|you|we|they|he|she|it|that|who|which|why|what|(?:the|a|an|my|your|our) [a-z]+) )(${keysOf(EN_NOT)})(?= )`, "g"), (_all, before = "", not = "") => `${before}${EN_NOT.get(not) ?? not}`],
    [new RegExp(`^${EN_TELL} (what|who|where) ((?:the|a|an|my|our) (?:(?!\\b${EN_BE}\\b)[^,])+) (${EN_BE})$`), "$1 $3 $2"],
    [new RegExp(`^${EN_TELL} how (${EN_DEGREE}) ((?:(?!\\b${EN_BE}\\b)[^,])+) (${EN_BE})$`), "how $1 $3 $2"],
    [new RegExp(`^${EN_TELL} why ((?:the|my) [a-z]+) (is|are) (?=[a-z]+$)`), "why $2 $1 "],
    [new RegExp(`^${EN_TELL} (?=(?:(?:what|who|where|which) ${EN_BE}|who (?:wrote|invented|discovered|painted|built|composed|founded|won)|how many [a-z]+ (?:live|are)) )`), ""],
    [new RegExp(`^(?:${EN_TELL}|(?:can you |could you )?(?:please )?(?:show me|explain)) (?=how to ${EN_DONE}$)`, "u"), ""],
    [/^(?:can|could) you (?=(?:explain|give me|recommend a|recommend some|suggest a|suggest some) )/, ""],
    [new RegExp(`^(?:can|could|would|will) you please (?=${EN_ORDERS} )`), ""],
    [/^(?:explain|describe) how ((?:a|an|the) [a-z]+(?: [a-z]+)?|[A-Z]{2,}) works$/, "how does $1 work"],
    [new RegExp(`^tell me (?=the ${EN_PROPERTY} of )`), "what is "],
    [new RegExp(`^how (?:do|can) I (?=${EN_DONE}$)`, "u"), "how to "],
    [/^(?:give me|write) a summary of (?=[^,]+$)/, "summarize "],
    [/^summarise /, "summarize "],
    [/^what colour (?=(?:is|are) (?:the|a|an|my) [a-z]+$)/, "what color "],
    [/^what is (your|my) favourite (?=(?:book|film|movie|food|animal|song|season)$)/, "what is $1 favorite "],
    [/^what is (your|my) favou?rite colou?r$/, "what is $1 favorite color"],
    [new RegExp(`^(what is the ${EN_PROPERTY} of|how (?:big|old|large) is) the (?:United States(?: of America)?|US)$`), "$1 the USA"],
    [new RegExp(`^((?:who|what) is the ${EN_PROPERTY} of|how (?:big|old|large) is) the United Kingdom$`), "$1 the UK"],
    [new RegExp(`^((?:give me|list|name|tell me|suggest|recommend|write) )(${keysOf(EN_NUMBERS)})(?= ${EN_COUNTED}(?: |$))`), counted(EN_NUMBERS)],
    [/^what is (\d+)(?:%| %| percent) of (\d+)$/, "what is $1 percent of $2"],
    [new RegExp(`^(?=(?:convert|how (?:many|much|far)) [^A-Z]*$)(.* )(${keysOf(EN_NUMBERS)}) (${keysOf(EN_UNITS)})(?= |$)`), (_all, before = "", number = "", unit = "") => `${before}${inUnits("", number, unit)}`],
    [new RegExp(`(?<=^(?:convert|how|is|are) [^A-Z]*)(?<= )(\\d+(?:\\.\\d+)?) ?(${keysOf(EN_UNITS)})(?=(?: [^A-Z]*)?$)`, "g"), inUnits],
    [new RegExp(`(?<=^convert \\d+(?:\\.\\d+)? [a-z]+ to )()(${keysOf(EN_UNITS)})$`), (_all, _none = "", unit = "") => EN_UNITS.get(unit) ?? unit],
    [new RegExp(`((?<= )(?:in|of|from|to|near) )(${PLACES})(?= (?:in|on|to|for|is|are|and)(?: |$)|$)`, "g"), lowered],
    [new RegExp(`((?<= )(?:on|in|of|by|since|until) )(${TIMES})(?= |$)`, "g"), lowered],
    [new RegExp(`((?<= )(?:was|did|by|about) )(${PEOPLE})(?= (?:born|die|write|compose|discover|invent)(?: |$)|$)`, "g"), lowered],
    [new RegExp(`((?<= )(?:is|was|the|of|did) )(${SIGHTS})(?= |$)`, "g"), lowered],
    [new RegExp(`^(what is |explain |describe )(${TECHNIQUES})$`), lowered],
  ],
};

const DE_NUMBERS = numbers("zwei drei vier fünf sechs sieben acht neun zehn elf zwölf");
const german: LanguageRules = {
  starts: new Set(listOf("was wer wen wem wo wann warum wieso wie welche welcher welches welchen ist sind war waren hat kann können kannst soll sollte darf erkläre nenne beschreibe vergleiche gib zeige bitte hallo guten sag")),
  known: new Set(listOf(`was wer wen wem wessen wo wann warum wieso wie welche welcher welches welchen ist sind war waren hat haben kann können kannst soll sollte darf muss erkläre nenne übersetze schreibe zeige gib beschreibe vergleiche bitte danke hallo
    der die das den dem des ein eine einen einem einer und oder nicht kein keine ich du er sie es wir ihr mein meine dein in im an am auf zu zum zur von vom mit ohne für aus bei nach ins mir`)),
  asks: /^(?:wer (?:ist|war|sind|waren|hat|schrieb|malte|erfand) |welche[rsn]? \p{L}+ (?:ist|sind|war|hat|haben|liegt|gehört) |(?:was|wo|wann|warum|wieso) (?:ist|sind|war|waren|kann|hat|haben|wird|wurde|macht|kostet) |wie (?:ist|sind|kann|macht) |wie viele? \p{L}+ (?:hat|haben|gibt|sind|leben) |wie (?:hoch|alt|groß|lang|weit|tief|schwer) (?:ist|sind|war|waren) |(?:ist|sind|war|waren|kann|soll|darf) (?:der|die|das|ein|eine|ich|man) |kannst du mir |können Sie mir )/u,
  orders: /^(?:erkläre|nenne|beschreibe|vergleiche|gib mir|zeige mir|sag mir,) /,
  opening: /^(?:(?:hallo|guten tag|guten Tag|guten Morgen), )?(?:bitte,? )?/,
  closing: /(?<=[?.!]) (?:bitte|danke|vielen dank|danke im voraus)[.!]?$/i,
  frames: [
    [/^(?:sag mir|kannst du mir sagen|können Sie mir sagen), (was|wer|wo) ((?:der|die|das|ein|eine|mein|meine) (?:(?!\b(?:ist|sind|war|waren)\b)[^,])+) (ist|sind|war|waren)$/, "$1 $3 $2"],
    [/^(?:sag mir|kannst du mir sagen|können Sie mir sagen), (wie (?:hoch|alt|groß|lang|weit|tief|schwer)) ((?:der|die|das|mein|meine) (?:(?!\b(?:ist|sind|war|waren)\b)[^,])+) (ist|sind|war|waren)$/, "$1 $3 $2"],
    [/^(?:kannst du|können Sie) mir (?:bitte )?((?:der|die|das|den) \p{Lu}\p{L}+) erklären$/u, "erkläre $1"],
    [/^erkläre mir (?=(?:der|die|das|den) \p{Lu}\p{L}+$)/u, "erkläre "],
    [new RegExp(`^(nenne (?:mir )?|gib mir )(${keysOf(DE_NUMBERS)})(?= ${oneOf("Beispiele Gründe Tipps Ideen Fakten Bücher Filme Städte Länder Vorteile Nachteile Tiere")}(?: |$))`), counted(DE_NUMBERS)],
  ],
};

const FR_NUMBERS = numbers("deux trois quatre cinq six sept huit neuf dix onze douze");
const french: LanguageRules = {
  starts: new Set(listOf("qui qu'est-ce où quand pourquoi comment combien quel quelle quels quelles peux-tu pouvez-vous explique décris donne donne-moi dis-moi dites-moi bonjour salut c'est")),
  known: new Set(listOf(`qui que qu'est-ce quoi où quand pourquoi comment combien quel quelle quels quelles est sont peux-tu pouvez-vous explique traduis écris donne donne-moi décris dis-moi dites-moi bonjour salut merci le la les un une des du de et ou ne pas je tu il elle nous vous ils
    mon ma mes ton ta au aux en dans sur avec sans pour par c'est`)),
  asks: /^(?:qui (?:a|est|sont|était) |qu'est-ce |(?:quel|quelle|quels|quelles) (?:est|sont|était|étaient) |(?:où|quand|pourquoi) (?:est|sont) |pourquoi (?:le|la|les) |comment (?:puis-je|faire|fonctionne|se|est) |combien (?:de|coûte|coûtent|mesure|pèse) |peux-tu |pouvez-vous |c'est quoi )/,
  orders: /^(?:explique|décris|donne-moi|dis-moi|dites-moi) /,
  opening: /^(?:(?:bonjour|salut), )?/,
  closing: /(?<=[?.!]) (?:s'il te plaît|s'il vous plaît|svp|merci|merci d'avance|merci beaucoup)[.!]?$/i,
  frames: [
    [/^(?:peux-tu me dire|pouvez-vous me dire|dis-moi|dites-moi) (?=(?:qui a |qui est |quelle est |quel est |quels sont |quelles sont ))/, ""],
    [/^(?:peux-tu|pouvez-vous) (?:m'expliquer|expliquer) (?=(?:le |la |les |l')[^ ,]+$)/, "explique "],
    [/^c'est quoi un(e?) (?=[^ ,]+$)/, "qu'est-ce qu'un$1 "],
    [new RegExp(`^(donne-moi )(${keysOf(FR_NUMBERS)})(?= ${oneOf("exemples raisons conseils idées livres films villes pays faits avantages animaux")}(?: |$))`), counted(FR_NUMBERS)],
  ],
};

const ES_NUMBERS = numbers("dos tres cuatro cinco seis siete ocho nueve diez once doce");
const spanish: LanguageRules = {
  starts: new Set(listOf("qué quién quiénes cuál cuáles dónde cuándo cómo cuánto cuántos cuántas por puedes puede explica dame describe dime hola")),
  known: new Set(listOf(`qué quién quiénes cuál cuáles dónde cuándo cómo cuánto cuántos cuántas por es son puedes puede explica traduce escribe dame describe dime hola gracias el la los las un una unos de del y o no yo tú él ella mi mis tu su al en con sin para que se puedo decirme`)),
  asks: /^(?:quién (?:es|fue|pintó|escribió|inventó|descubrió|ganó) |quiénes (?:son|fueron) |cuál es |cuáles son |qué (?:es|son|causa) |(?:dónde|cuándo) (?:está|están|es|son|se|nació|murió|fue) |cómo (?:se|puedo|funciona|es) |cuánto (?:cuesta|mide|pesa|dura) |cuánt[oa]s \p{L}+ (?:hay|tiene|tienen|son|viven) |por qué (?:es|son|el|la|los|las|no) |pued(?:es|e) decirme )/u,
  orders: /^(?:explica|dame|describe|dime) /,
  opening: /^(?:hola, )?(?:por favor,? )?/,
  closing: /(?<=[?.!]) (?:por favor|gracias|muchas gracias)[.!]?$/i,
  frames: [
    [/^(?:puedes decirme|puede decirme|dime) (?=(?:quién|cuál es|cuáles son|qué es|qué son|dónde está) )/, ""],
    [new RegExp(`^(dame )(${keysOf(ES_NUMBERS)})(?= ${oneOf("ejemplos razones consejos ideas libros películas ciudades países datos ventajas animales")}(?: |$))`), counted(ES_NUMBERS)],
  ],
};

export const LANGUAGES: Readonly<Record<string, LanguageRules>> = { en: english, de: german, fr: french, es: spanish };
