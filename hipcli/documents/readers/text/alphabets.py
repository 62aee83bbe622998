"""The letters outside ASCII by which the language of a text is known, and so the encoding that it is in."""

# Small letters and marks, the most frequent first.
ALPHABETS = {
    "German": "üäöß",
    "French": "éèàêçùôâîûëïœüæ",
    "Spanish": "óíáéñúü¿¡ªº",
    "Portuguese": "ãçáéíóêúâõôàªº",
    "Italian": "èàùòìé",
    "Swedish": "äåöé",
    "Danish": "øåæé",
    "Icelandic": "áðíóéúöþæý",
    "Catalan": "éàèóíòúçïü·",
    "Dutch": "ëéïóöü",
    "Polish": "łąęóżśćńź",
    "Czech": "íáéýřěžčšůúťňďó",
    "Slovak": "áíčéýžšúťľôňäďóŕĺ",
    "Hungarian": "áéöóőíüúű",
    "Romanian": "ăîâșțşţ",
    "Croatian": "čšžćđ",
    "Turkish": "ıüşğçöâ",
    "Lithuanian": "ėųįšžūąčę",
    "Latvian": "āīēūšļņžķčģ",
    "Estonian": "äõüöšž",
    "Russian": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
    "Ukrainian": "оанивтерісклмудпзьягбчйїхцжшюєщфґ",
    "Belarusian": "аніеоыртсклядувьмпзгчбйшжцхўюёэф",
    "Serbian": "аиоенсртјувкдмплзгбшчцњжћхђљфџ",
    "Greek": "αοιετσνηυρπκμλςώίόγάδέωθχήφβύξζψϊϋΐΰ",
    "Hebrew": "יוהלאמרתבשנםכדקטעפסחזגצךןףץ",
    "Arabic": "اليمنوترةبسدعكفقهحجشطصخأزضذثءىغإئآؤظً،؟ـ",
    "Thai": ("านรอกเงมย่ลวดท้สต็ะปบค์หแจพชขใไโผถณธศีิืัุูำึซฟภฐญษฉฝฮฤฆฬฏฎฑฌฒฅ๊๋ๆฯาๅ๏๐๑๒๓๔๕๖๗๘๙ํ"),
}
# Lists of names and the like may have words of several of these.
WESTERN = ("German", "French", "Spanish", "Portuguese", "Italian", "Swedish", "Danish", "Icelandic", "Catalan", "Dutch")

# Of scripts with thousands of characters, those that make up a fifth or more of every text.
COMMON_CHARACTERS = {
    "Japanese": (
        "のにをはたがでてとしれさいるなもあまするかこおきりっよくらだアイウエオ"
        "カキクコサシスセタテトナニネノフマミムメモラリルレロンッャュョー、。"
    ),
    "Simplified Chinese": (
        "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后小"
        "么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长，。"
    ),
    "Traditional Chinese": (
        "的一是不了人我在有他這中大來上國個到說們為子和你地出道也時年得就那要下以生會自著去之過家學對可裡後小"
        "麼心多天而能好都然沒日於起還發成事只作當想看文無開手十用主行方又如前所本見經頭面公同三已老從動兩長，。"
    ),
    "Korean": (
        "이다는에의을가고하지은를기사리도로한서아인자어나대시그일해수라제정있보게전스주부들만과상원것여으장동구유성우"
    ),
}
