import t from 'tap'
import { isRefusal } from '../src/refusals.ts'

const refusals = [
  // en
  'As an AI language model, I cannot provide medical advice.',
  'As an AI, I do not have personal opinions, but photosynthesis is a process in plants.',
  "I'm sorry, but I can't help with that request.",
  'I’m sorry, but I can’t assist with that.',
  'I am unable to generate content about this topic.',
  'I cannot fulfill this request.',
  'Unfortunately, I cannot provide an explanation for this topic.',
  'I apologize, but I am not able to discuss this.',
  'Sorry. I cannot help with that.',
  'Sorry ,,; — but ,, I cannot help with that.',
  'However, I regret, as an AI I have no opinion of my own.',
  'I do not have enough information to explain this subtopic.',
  "I'm just an AI assistant and have no access to that.",
  'It is against my guidelines to write about this.',
  'Plants are green. However, as an AI language model, I cannot go into detail.',
  // es
  'Lo siento, pero no puedo ayudarte con esa solicitud.',
  'Como modelo de lenguaje, no puedo proporcionar esta información.',
  'Como inteligencia artificial, no tengo opiniones personales.',
  'No puedo generar una explicación sobre este tema.',
  'Lamentablemente, no puedo responder a esa pregunta.',
  // fr
  'Je suis désolé, mais je ne peux pas vous aider.',
  "En tant qu'IA, je ne peux pas fournir cette explication.",
  'En tant que modèle de langage, je n’ai pas accès à ces données.',
  'Je ne suis pas en mesure de répondre à cette demande.',
  'Malheureusement, je ne peux pas traiter cette demande.',
  // de
  'Es tut mir leid, aber ich kann Ihnen dabei nicht helfen.',
  'Als KI-Sprachmodell kann ich keine medizinischen Ratschläge geben.',
  'Als großes Sprachmodell habe ich keine eigene Meinung.',
  'Leider kann ich diese Anfrage nicht beantworten.',
  'Ich kann zu diesem Thema keine Erklärung erstellen.',
  // zh
  '抱歉，我无法提供这方面的信息。',
  '对不起，我不能帮助您完成这个请求。',
  '作为一个人工智能，我无法回答这个问题。',
  '作为AI语言模型，我没有个人观点。',
  '很抱歉，無法回答您的問題。',
  // ja
  '申し訳ありませんが、そのリクエストにはお応えできません。',
  'すみませんが、その質問にはお答えできません。',
  'AI言語モデルとして、そのような内容を提供することはできません。',
  '私はAIアシスタントなので、個人的な意見はありません。',
  'ご要望にはお応えできかねます。',
  // ar
  'عذرًا، لا أستطيع مساعدتك في هذا الطلب.',
  'آسف، لا يمكنني تقديم هذه المعلومات.',
  'بصفتي نموذجًا لغويًا، لا يمكنني إبداء رأي شخصي.',
  'أنا نموذج لغوي ولا أملك آراء شخصية.',
  'للأسف، لا يمكنني الإجابة على هذا السؤال.',
  // he
  'אני מצטער, אבל אני לא יכול לעזור בבקשה הזו.',
  'כמודל שפה, אין באפשרותי לספק מידע זה.',
  'כבינה מלאכותית, אני לא יכולה להביע דעה.',
  'לצערי, לא אוכל לענות על השאלה.',
  'אני מודל שפה ואין לי דעות.',
]

const goodTexts = [
  'Artificial intelligence (AI) is the study of machines that act as if they understood. AI systems learn from data.',
  'As an AI language model, GPT-4 predicts the next word of a text.',
  'As an AI winter set in, funding was cut.',
  'Chatbots often answer "As an AI language model, I cannot help with that" when a request is refused.',
  '"I cannot tell a lie" is a saying attributed to George Washington.',
  'Emily Dickinson opens the poem with the line “I cannot live with You”.',
  'Refusal training teaches models to say that they cannot help. It is part of safety.',
  'Unfortunately, the treaty could not prevent another war.',
  'An apology such as “I’m sorry” repairs trust.',
  'Sorry is a board game for two to four players.',
  'Descartes wrote that I think, therefore I am.',
  'La inteligencia artificial no puede sustituir al juicio humano. Como modelo de lenguaje, GPT no tiene emociones propias.',
  'Los animales no pueden fabricar su propio alimento.',
  "En tant que modèle de langage, GPT-4 prédit le mot suivant. L'intelligence artificielle ne peut pas tout expliquer.",
  'Malheureusement, le traité ne put empêcher la guerre.',
  'Als Sprachmodell sagt GPT-4 das nächste Wort voraus. Die KI kann nicht alles erklären.',
  'Leider konnte der Vertrag den Krieg nicht verhindern.',
  '人工智能无法完全取代人类的判断。作为一种语言模型，GPT可以预测下一个词。',
  '我国的经济在二十世纪快速增长。',
  '不可再生资源无法在短时间内恢复。',
  '量子もつれは古典物理学では説明できません。人工知能は感情を持つことができません。',
  '大規模言語モデルとして知られるGPTは、次の単語を予測します。',
  'لا تستطيع النباتات العيش بدون ضوء. الذكاء الاصطناعي فرع من علوم الحاسوب.',
  'הבינה המלאכותית אינה יכולה להחליף שיקול דעת אנושי. צמחים לא יכולים לחיות בלי אור.',
  '',
]

for (const text of refusals) {
  t.test(`a refusal: ${text}`, (t) => {
    t.ok(isRefusal(text))
    t.end()
  })
}

for (const text of goodTexts) {
  t.test(`no refusal: ${text}`, (t) => {
    t.notOk(isRefusal(text))
    t.end()
  })
}
